// How much each layer of a float ONNX file costs when it is quantized: the command `sensitivity`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/quantize/quantize.h"
#include "mc/search/sensitivity.h"

namespace mc {

struct SensitivityFileOptions {
  std::filesystem::path model;
  std::string data;           // as open_dataset takes it
  QuantizeOptions quantize;   // target, calibrator, samples, keep_float ...
  std::vector<int64_t> bits;  // of weights, to measure beside those of `quantize`; 2 to 8
  int64_t measured_samples = 32;
  std::filesystem::path page;  // to write; empty: none
};

struct SensitivityFileReport {
  SensitivityFileOptions options;
  std::vector<LayerSensitivity> layers;
  std::string data;  // one line about the samples
  bool random_data = false;
};

// Calibrates and measures on training samples (where the data has a split). Throws Error as quantize_ptq and
// sensitivity do.
SensitivityFileReport sensitivity_of_file(const SensitivityFileOptions& options);

// The document of `sensitivity --json`.
Json to_json(const SensitivityFileReport& report);

}  // namespace mc
