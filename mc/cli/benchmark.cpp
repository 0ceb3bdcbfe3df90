#include <memory>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/deploy/benchmark.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/process.h"

namespace mc {
namespace {

struct BenchmarkArguments {
  std::vector<std::string> models;
  std::vector<std::string> engines = {"onnxruntime"};
  std::vector<int64_t> batch_sizes = {1, 32};
  std::string data;
  std::string precision = "f32";
  double seconds = 2;
  int threads = 0;
  bool json = false;
};

void print_rows(const std::vector<BenchmarkRow>& rows) {
  std::vector<std::vector<std::string>> table = {{"model", "engine", "precision", "batch", "threads",
                                                  "median ms", "p90 ms", "p99 ms", "samples/s", "load ms",
                                                  "peak MB", "file MB"}};
  bool random = false;
  for (const BenchmarkRow& row : rows) {
    random = random || row.random_data;
    if (!row.skipped.empty()) {
      table.push_back({row.model.string(), row.engine, "skipped: " + row.skipped});
      continue;
    }
    table.push_back({row.model.string(), row.engine, row.precision, std::to_string(row.batch),
                     std::to_string(row.threads), fmt::format("{:.3f}", row.median_ms),
                     fmt::format("{:.3f}", row.p90_ms), fmt::format("{:.3f}", row.p99_ms),
                     fmt::format("{:.0f}", row.throughput), fmt::format("{:.0f}", row.load_ms),
                     fmt::format("{:.1f}", row.peak_mb), fmt::format("{:.2f}", row.file_mb)});
  }
  print(align(table));
  if (random) print("measured on random data\n");
}

void print_machine(const MachineSpeed& machine) {
  constexpr double kQuiet = 0.05;
  print(fmt::format("the machine itself: a fixed loop took {:.2f} ms, and drifted by {:.0f} %{}\n",
                    machine.median_ms(), 100 * machine.drift(),
                    machine.drift() > kQuiet ? ": not quiet, so compare rows of this run only" : ""));
}

int execute(const BenchmarkArguments& arguments) {
  use_threads(arguments.threads);
  BenchmarkOptions options;
  options.engines = arguments.engines;
  options.batch_sizes = arguments.batch_sizes;
  options.seconds = arguments.seconds;
  options.engine.precision = arguments.precision;
  options.engine.threads = arguments.threads;
  for (const std::string& engine : options.engines) find_engine(engine);
  std::shared_ptr<const Dataset> data;
  if (!arguments.data.empty()) {
    data = open_model_data(read_onnx(arguments.models.front()), arguments.data, 0).dataset;
  }
  const std::vector<std::filesystem::path> models(arguments.models.begin(), arguments.models.end());
  MachineSpeed machine;
  const std::vector<BenchmarkRow> rows = benchmark(models, data, options, &machine);
  present(
      arguments.json, [&] { return to_json(rows, machine); },
      [&] {
        print_rows(rows);
        print_machine(machine);
      });
  return kDone;
}

}  // namespace

void add_benchmark(CLI::App& program, Action& action) {
  auto options = std::make_shared<BenchmarkArguments>();
  CLI::App* command = add_command(program, action, "benchmark",
                                  "Measure latency and throughput of models on engines", options, execute);
  command->add_option("models", options->models, "ONNX files")->required();
  command->add_option("--engine", options->engines, "torch, onnxruntime, openvino")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--batch", options->batch_sizes, "Batch sizes")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::PositiveNumber);
  command->add_option("--data", options->data, "Samples to run on, as `evaluate` takes them, or random:N");
  command->add_option("--precision", options->precision, "Of what is not quantized: f32, bf16 or f16");
  command->add_option("--seconds", options->seconds, "Measuring time a row")->check(CLI::NonNegativeNumber);
  add_threads_and_json(*command, options->threads, options->json);
  command->footer(
      "Rows take turns, so that drift of the machine hits all alike.\n"
      "Example:\n"
      "  model-compression benchmark fp32.onnx int8.onnx --engine onnxruntime,openvino --batch 1,32");
}

}  // namespace mc
