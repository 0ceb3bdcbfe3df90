// A float ONNX file -> an integer one, and what that did to it: the command `quantize`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/deploy/compare.h"
#include "mc/quantize/calibrate.h"

namespace mc {

struct QuantizeFileOptions {
  std::filesystem::path model;
  std::filesystem::path output;
  std::string data;          // as open_dataset takes it
  QuantizeOptions quantize;  // of ptq
  std::string metric;        // empty: top1 for class labels, mse for others
  int64_t batch = 32;        // samples at once when the two are compared
  int64_t limit = 0;         // compare on only the first samples; 0: all
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
  std::vector<QuantizeStep> steps;
  int64_t calibration_samples = 0;
  double seconds = 0;  // calibration and conversion, without the comparison
  uintmax_t bytes_before = 0, bytes_after = 0;
  Comparison comparison;               // of the two files on the engine
  std::string engine_note;             // why it is not the target's engine; empty: it is
  std::optional<MetricChange> metric;  // where the data has labels
  std::string data;                    // one line about the samples compared on
  bool random_data = false;
};

// Calibrates on training samples (where the data has a split), writes the output and compares both files on
// test samples, on the target's engine or, where this machine has none, on ours. Throws Error: an input that
// is already quantized or has unsupported operators, no labels where a metric was asked for, data that does
// not fit, an output that is the input. The output is written before the comparison.
QuantizeFileReport quantize_file(const QuantizeFileOptions& options);

// The document of `quantize --json`.
Json to_json(const QuantizeFileReport& report);

}  // namespace mc
