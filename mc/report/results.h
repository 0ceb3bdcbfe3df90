// What a run leaves behind, as it stands in results.json: one struct for each of its parts
// (docs/results.md describes the document). Whoever runs things fills it in; the summary and the page are
// made from the document alone.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mc/base/json.h"

namespace mc {

inline constexpr const char* kRunSchema = "model-compression/run/1";

struct EnvironmentResult {
  std::string cpu;     // "Intel(R) Xeon(R) ..."
  std::string device;  // what it trained on: "cpu", "cuda (NVIDIA H200)"
  int threads = 0;
  std::string date;                                           // ISO 8601, UTC: "2026-11-23T04:42:54Z"
  std::vector<std::pair<std::string, std::string>> versions;  // {"LibTorch", "2.13.0"}, ...
};

struct StageResultRow {
  std::string name;
  int64_t epochs = 0;
  int64_t steps = 0;
  std::string metric_name;  // "top1"
  double metric = 0;        // on the evaluation data, of the weights that the stage ends with
  double sparsity = 0;      // share of zeros among the prunable weights, in [0, 1]
  double seconds = 0;
  std::vector<std::string> methods;  // what acted in it: "distill", "prune", "quantize"
};

struct ModelResult {
  std::string name;               // "teacher", "fp32", "pruned", "int8"
  std::string file;               // relative to the run folder
  uint64_t file_bytes = 0;        // external data included
  uint64_t compressed_bytes = 0;  // of the same, by zstd (zstd_size)
  double sparsity = 0;            // in [0, 1]
  int64_t parameters = 0;
  int64_t macs = 0;  // multiply-accumulates of one sample
};

struct EvaluationResult {
  std::string model;  // ModelResult::name
  std::string engine;
  std::string metric;  // "top1"
  double value = 0;
  int64_t samples = 0;
};

struct LayerSparsity {
  std::string model;
  std::string layer;
  double sparsity = 0;
  int64_t elements = 0;
};

struct QuantizedLayerResult {
  std::string model;  // ModelResult::name
  std::string layer;
  std::string op;
  bool quantized = false;
  std::string reason;  // why it was left in float; empty when quantized
};

// Something the recipe asked for: deploy.require, or a promise of the pipeline itself.
struct CheckResult {
  std::string name;      // "accuracy drop of int8 on onnxruntime"
  std::string required;  // "at most 0.010"
  std::string measured;  // "0.004"
  bool passed = false;
};

struct RunResults {
  std::string name;
  std::string recipe;  // YAML as it ran, defaults written out
  std::string data;    // one line about the data; says so when it is random
  EnvironmentResult environment;
  std::vector<StageResultRow> stages;
  std::vector<ModelResult> models;
  std::vector<EvaluationResult> evaluations;
  std::vector<Json> benchmarks;   // rows as mc/deploy/benchmark.h writes them, `model` a ModelResult::name
  std::vector<Json> comparisons;  // pairs as mc/deploy/compare.h writes them, likewise
  std::vector<LayerSparsity> sparsity_by_layer;
  std::vector<QuantizedLayerResult> quantized_layers;
  std::vector<CheckResult> checks;
  double seconds = 0;   // of the whole run
  bool passed() const;  // every check did
};

Json to_json(const RunResults& results);

// What this process runs on: processor, thread count (Threads::count()) and the time now. The caller adds
// `device` and `versions`.
EnvironmentResult this_environment();

}  // namespace mc
