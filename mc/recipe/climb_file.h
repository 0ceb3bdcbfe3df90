// A float ONNX file and a goal -> the quantized file that reaches it: the command `quantize` with
// --accuracy-drop or --min-snr.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/search/ladder.h"
#include "mc/search/latency.h"

namespace mc {

struct ClimbFileOptions {
  std::filesystem::path model;
  std::filesystem::path output;
  std::string data;          // as open_dataset takes it
  QuantizeOptions quantize;  // target, samples, keep_float ...: what every rung starts from
  Goal goal;
  bool train = false;              // the last rung may train on the training samples
  bool latency = true;             // leave float what does not pay on the engine
  double time_budget_seconds = 0;  // 0: none
  bool resume = true;
  int64_t batch = 32;  // samples at once when judging
  int64_t limit = 0;   // judge on only the first samples; 0: all
};

struct ClimbFileReport {
  ClimbFileOptions options;
  std::string engine;                    // that judged
  std::string engine_note;               // why it is not the target's; empty: it is
  std::optional<LatencyResult> latency;  // where it does not pay, the output is the model itself
  LadderResult ladder;
  std::vector<LayerQuantization> layers;  // of the best
  std::string data;                       // one line about the samples judged on
  bool random_data = false;
};

// Calibrates and trains on training samples, judges on test samples (where the data has a split). Throws
// Error as climb_ladder and choose_by_latency do, and for an output that is the input.
ClimbFileReport climb_file(const ClimbFileOptions& options);

// The document of `quantize --json` with a goal.
Json to_json(const ClimbFileReport& report);

// Rows of `name`, `op`, `quantized`, `reason`.
Json layers_json(const std::vector<LayerQuantization>& layers);

// The target's engine, or ours where this machine has none, with the reason in `note`.
std::string judging_engine(const std::string& target, std::string& note);

// OUTPUT.report.html, which shows what the command found.
std::filesystem::path page_of(const std::filesystem::path& output);

// Gives layers that are float because of what was measured that reason, and lists those of a model that is
// not quantized at all.
void explain_float(const LatencyResult& latency, const std::string& engine,
                   std::vector<LayerQuantization>& layers);

// Which kinds of layers pay on the engine, timed with ranges of a few samples.
LatencyResult latency_of_file(const std::filesystem::path& model, const std::filesystem::path& output,
                              const std::shared_ptr<const Dataset>& calibration,
                              const Normalization& normalization, const QuantizeOptions& options,
                              const std::string& engine);

}  // namespace mc
