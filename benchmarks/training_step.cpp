// Training steps of a builtin model on random data, on request: each line "MODE STEPS" on stdin (MODE:
// float, qat, prune) is answered by the milliseconds of every step, on one line. training_step.py drives
// it beside PyTorch, in turns.
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/prune/prune.h"
#include "mc/quantize/quantize.h"
#include "mc/train/optimizer.h"

namespace {

struct Run {
  std::unique_ptr<mc::GraphModule> module;
  std::unique_ptr<mc::Optimizer> optimizer;
  std::unique_ptr<mc::IterativePruningScheduler> pruning;
};

Run make_run(const std::string& mode, const std::string& name) {
  Run run;
  run.module = std::make_unique<mc::GraphModule>(mc::build_model(name, {}));
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
  const std::string model = argc > 1 ? argv[1] : "resnet18";
  const int64_t batch = argc > 2 ? std::stoll(argv[2]) : 32;
  if (argc > 3) at::set_num_threads(std::stoi(argv[3]));
  at::manual_seed(0);
  const at::Tensor images = at::randn({batch, 3, 32, 32});
  const at::Tensor labels = at::randint(10, {batch}, at::kLong);
  std::map<std::string, Run> runs;
  std::string mode;
  int steps = 0;
  while (std::cin >> mode >> steps) {
    if (!runs.count(mode)) runs[mode] = make_run(mode, model);
    for (int i = 0; i < steps; ++i) std::cout << step(runs[mode], images, labels) << ' ';
    std::cout << std::endl;
  }
  return 0;
}
