// What the command `quantize` can make of a float model, under one name each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/half.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/weight_only.h"

namespace mc {

struct QuantizeModeOptions {
  std::string mode = "ptq";  // see quantize_modes
  std::string method;        // a calibrator (ptq, float8) or a weight method (weights); empty: the default
  std::optional<int64_t> weight_bits;  // of ptq (default 8) and weights (default 4)
  QuantizeOptions quantize;            // target, keep_float, samples and percentile serve all modes
  WeightOnlyOptions weights;           // of weights: what `quantize` does not say
  bool reduce_range = false;           // of dynamic
  bool convert_io = false;             // of fp16 and bf16
};

struct ModeResult {
  Model model;
  std::vector<LayerQuantization> layers;
  std::vector<QuantizeStep> steps;
  std::vector<ClampedConstant> clamped;
  int64_t samples = 0;  // that calibrated
};

// ptq, weights, dynamic, fp16, bf16, float8.
const std::vector<std::string>& quantize_modes();

// The calibrator or weight method that counts; empty where the mode has none.
std::string mode_method(const QuantizeModeOptions& options);

// Of ptq and float8: all that calibration goes by.
QuantizeOptions calibration_of(const QuantizeModeOptions& options);

// What a quantized layer is called in reports: "int8", "int4", "float16" ...
std::string mode_type(const QuantizeModeOptions& options);

// Why the target's engine cannot run what the mode makes; empty where it can.
std::string mode_engine_note(const std::string& mode);

// Throws Error for options that do not fit together, or lack the data that the mode needs.
void check_quantize_mode(const QuantizeModeOptions& options, bool has_data);

// `dataset` is null where there is no data.
ModeResult run_quantize_mode(const Model& model, std::shared_ptr<const Dataset> dataset,
                             const Normalization& normalization, const QuantizeModeOptions& options);

}  // namespace mc
