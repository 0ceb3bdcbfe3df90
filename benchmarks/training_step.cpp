// Training steps of an ONNX classifier on random data, on request: each line "MODE STEPS" on stdin (MODE:
// float, qat, prune) is answered by the milliseconds of every step, on one line. training_step.py drives
// it beside PyTorch, in turns.
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/prune.h"
#include "mc/quantize/quantize.h"
#include "mc/train/optimizer.h"

namespace {

struct Run {
  std::unique_ptr<mc::GraphModule> module;
  std::unique_ptr<mc::Optimizer> optimizer;
  std::unique_ptr<mc::IterativePruningScheduler> pruning;
};

Run make_run(const std::string& mode, const mc::Model& model) {
  Run run;
  run.module = std::make_unique<mc::GraphModule>(model);
  if (mode == "qat") mc::prepare_qat(*run.module, {});
  run.optimizer = mc::make_optimizer(mc::SgdOptions{}, *run.module);
  if (mode == "prune") {
    mc::IterativePruningConfig config;
    config.pruning_fn_default_kwargs.target_sparsity = 0.9;
    run.pruning = std::make_unique<mc::IterativePruningScheduler>(*run.module, config);
  }
  run.module->train();
  return run;
}

double step(Run& run, const at::Tensor& images, const at::Tensor& labels) {
  const auto start = std::chrono::steady_clock::now();
  run.optimizer->zero_grad();
  at::cross_entropy_loss(run.module->forward(images), labels).backward();
  run.optimizer->step(1e-3);
  if (run.pruning) run.pruning->step();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: bench_training_step MODEL.onnx [THREADS]\n";
    return 2;
  }
  const mc::Model model = mc::read_onnx(argv[1]);
  if (argc > 2) at::set_num_threads(std::stoi(argv[2]));
  at::manual_seed(0);
  const mc::Type& type = model.graph.inputs.at(0).type;
  std::vector<int64_t> dims;
  for (const mc::Dim& dim : type.shape.value()) dims.push_back(dim.value);
  const at::Tensor inputs =
      type.dtype == mc::DType::kInt64 ? at::randint(1000, dims, at::kLong) : at::randn(dims);
  const int64_t classes = model.graph.outputs.at(0).type.shape.value().back().value;
  const at::Tensor labels = at::randint(classes, {dims[0]}, at::kLong);
  std::map<std::string, Run> runs;
  std::string mode;
  int steps = 0;
  while (std::cin >> mode >> steps) {
    if (!runs.count(mode)) runs[mode] = make_run(mode, model);
    for (int i = 0; i < steps; ++i) std::cout << step(runs[mode], inputs, labels) << ' ';
    std::cout << std::endl;
  }
  return 0;
}
