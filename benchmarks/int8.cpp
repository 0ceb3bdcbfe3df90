// What int8 brings: a builtin model with random weights, its observers fed a few random batches,
// converted, and timed against its float self on each engine; and which kernels ran as integers.
#include <cstdio>
#include <filesystem>
#include <string>

#include <ATen/ATen.h>

#include "mc/deploy/benchmark.h"
#include "mc/deploy/fusion.h"
#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/quantize.h"
#include "mc/rewrite/pass.h"

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "resnet50";
  const int64_t size = argc > 2 ? std::stoll(argv[2]) : 224;
  const auto folder = std::filesystem::temp_directory_path();
  const auto float_file = folder / (name + ".fp32.onnx"), int8_file = folder / (name + ".int8.onnx");

  const mc::Model model = mc::build_model(name, {.input_shape = {3, size, size}, .classes = 1000});
  mc::Model inference = model;
  mc::apply_passes(inference, mc::inference_passes());
  mc::write_onnx(inference, float_file);

  at::manual_seed(0);
  const auto module = mc::qat_version_model(mc::GraphModule(model));
  module->train();
  for (int i = 0; i < 4; ++i) {
    at::NoGradGuard no_grad;
    module->forward(at::randn({4, 3, size, size}));
  }
  mc::write_onnx(mc::convert_fx(*module), int8_file);

  mc::BenchmarkOptions options;
  options.engines = {"onnxruntime", "openvino"};
  options.seconds = 5;
  const auto rows = mc::benchmark({float_file, int8_file}, nullptr, options);
  for (const mc::BenchmarkRow& row : rows) {
    std::printf("%-22s %-12s %-5s median %8.2f ms  p90 %8.2f ms\n", row.model.filename().c_str(),
                row.engine.c_str(), row.precision.c_str(), row.median_ms, row.p90_ms);
  }
  for (size_t engine = 0; engine < options.engines.size(); ++engine) {
    std::printf("%s: int8 is %.2f x as fast\n", options.engines[engine].c_str(),
                rows[engine].median_ms / rows[options.engines.size() + engine].median_ms);
  }

  bool all_integer = true;
  for (const std::string& engine : options.engines) {
    const auto kernels = mc::read_kernels(mc::find_engine(engine), int8_file);
    if (!kernels) continue;
    std::printf("%s: %zu integer kernels, %zu float\n", engine.c_str(), kernels->integer.size(),
                kernels->floating.size());
    for (const std::string& kernel : kernels->floating) std::printf("  float: %s\n", kernel.c_str());
    all_integer = all_integer && kernels->floating.empty();
  }
  return all_integer ? 0 : 1;
}
