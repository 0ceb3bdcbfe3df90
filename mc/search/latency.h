// Measured latency decides what is worth quantizing: kinds of layers whose integer form does not pay on the
// engine go back to float, and a model that would be slower than its float self is not shipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mc/base/json.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct LatencyOptions {
  std::string engine;
  int64_t batch = 1;
  double seconds = 0.5;  // measuring time of each model
  double gain = 0.02;    // by how much float must be faster to be kept: beyond the noise of repeats
  double slack = 0.03;   // by how much the result may be slower than the float model
};

// One kind of layer (convolutions by kernel and grouping, matrix products), or the layers next to the input,
// where values are largest and channels few.
struct LatencyChoice {
  std::string kind;  // "depthwise Conv", "first 2 layers"
  std::vector<std::string> nodes;
  double integer_ms = 0;  // of the whole model with the kind quantized as before, medians of the same run
  double float_ms = 0;    // and with it left float
  bool kept_float = false;
};

struct LatencyResult {
  QuantizeOptions options;  // keep_float grown by what does not pay
  std::vector<LatencyChoice> choices;
  double float_ms = 0;      // of the float model, medians of the same run
  double quantized_ms = 0;  // of the result
  bool pays = true;         // false: nothing is gained by quantizing on this engine
};
Json to_json(const LatencyResult& result);

// Median milliseconds of two models on the engine, taking turns. Throws Error: an engine that is not there or
// cannot run them.
std::pair<double, double> median_ms(const std::filesystem::path& one, const std::filesystem::path& other,
                                    const LatencyOptions& options);

// Quantized models for timing, by options; ranges may come from few samples.
using QuantizeForTiming = std::function<Model(const QuantizeOptions&)>;

// `folder` takes the models that are timed, until the end. Throws Error: an engine that is not there or
// cannot run the models, kInterrupted.
LatencyResult choose_by_latency(const std::filesystem::path& float_model, const QuantizeOptions& options,
                                const QuantizeForTiming& quantize, const std::filesystem::path& folder,
                                const LatencyOptions& latency);

}  // namespace mc
