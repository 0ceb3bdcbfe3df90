// A float ONNX file -> a smaller one, and what that did to it: the command `quantize`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/deploy/compare.h"
#include "mc/deploy/fusion.h"
#include "mc/recipe/quantize_mode.h"
#include "mc/search/budget.h"
#include "mc/search/latency.h"

namespace mc {

struct QuantizeFileOptions {
  std::filesystem::path model;
  std::filesystem::path output;
  std::string data;  // as open_dataset takes it; may be empty where the mode needs none
  QuantizeModeOptions how;
  std::string metric;            // empty: top1 for class labels, mse for others
  int64_t batch = 32;            // samples at once when the two are compared
  int64_t limit = 0;             // compare on only the first samples; 0: all
  std::optional<Budget> budget;  // of ptq: bits by layer, and no choice by latency
  bool latency = false;  // ptq: leave float what does not pay on the target's engine, where it is here
};

// One metric of both models.
struct MetricChange {
  std::string metric;
  double before = 0;
  double after = 0;
};

struct QuantizeFileReport {
  QuantizeFileOptions options;
  std::vector<LayerQuantization> layers;
  std::optional<LatencyResult> latency;
  std::optional<BudgetResult> budget;
  std::vector<QuantizeStep> steps;
  std::vector<ClampedConstant> clamped;  // of fp16 and bf16
  int64_t calibration_samples = 0;
  double seconds = 0;  // calibration and conversion, without the comparison
  uintmax_t bytes_before = 0, bytes_after = 0;
  std::optional<Comparison> comparison;  // of the two files on the engine, where there is data
  std::string engine_note;               // why it is not the target's engine; empty: it is
  std::optional<MetricChange> metric;    // where the data has labels
  std::optional<KernelCheck> kernels;    // ptq, dynamic: what the target's engine runs, where it is here
  std::string data;                      // one line about the samples compared on
  bool random_data = false;
};

// Calibrates (where the mode does) on training samples (where the data has a split), writes the output and
// compares both files on test samples, on the target's engine or, where this machine has none, on ours.
// Throws Error: an input that is already quantized or has unsupported operators, no data where the mode needs
// it, no labels where a metric was asked for, data that does not fit, an output that is the input. The output
// is written before the comparison; OUTPUT.report.html shows the report.
QuantizeFileReport quantize_file(const QuantizeFileOptions& options);

// The document of `quantize --json`.
Json to_json(const QuantizeFileReport& report);

}  // namespace mc
