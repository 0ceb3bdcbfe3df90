// Latency and throughput of model files on engines, interleaved so that drift of the machine hits all
// rows alike.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/data/dataset.h"
#include "mc/deploy/engine.h"
#include "mc/deploy/machine_speed.h"

namespace mc {

struct BenchmarkOptions {
  std::vector<std::string> engines = {"onnxruntime"};
  std::vector<int64_t> batch_sizes = {1};
  EngineOptions engine;
  double seconds = 2.0;  // measuring time a row
  int64_t minimum_runs = 10;
  int64_t warmup_runs = 3;
};

struct BenchmarkRow {
  std::filesystem::path model;
  std::string engine;
  std::string precision;
  int64_t batch = 1;
  int threads = 0;
  double median_ms = 0, p90_ms = 0, p99_ms = 0;
  double throughput = 0;  // samples a second at the median
  double load_ms = 0;
  double peak_mb = 0;  // growth of resident memory while loading and running
  double file_mb = 0;
  bool random_data = false;
  std::string skipped;  // why there are no numbers (engine not available), else empty
};

// Rows in the order model, engine, batch, each with a session of its own. Each round gives every row a short
// turn; rounds go on until every row has its time. `data` null: random inputs of the models' shapes. A row
// that an engine cannot run says why in `skipped`. Throws Error for a missing file, an unknown engine, a
// batch below 1, and when interrupted. `machine`, if given, is sampled in every round.
std::vector<BenchmarkRow> benchmark(const std::vector<std::filesystem::path>& models,
                                    const std::shared_ptr<const Dataset>& data,
                                    const BenchmarkOptions& options, MachineSpeed* machine = nullptr);

Json to_json(const BenchmarkRow& row);
// The document of `benchmark --json`.
Json to_json(const std::vector<BenchmarkRow>& rows, const MachineSpeed& machine);

}  // namespace mc
