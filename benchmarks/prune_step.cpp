// One scheduler step of pruning on weights of resnet18's shapes (11.2 M), and global magnitude over 110 M
// weights, in milliseconds: median of repeated runs with new weights each time, on THREADS threads.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/prune/prune.h"
#include "mc/prune/structure.h"

namespace {

double milliseconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> times) {
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

void report(const std::string& what, const std::vector<double>& times) {
  std::cout << what << ": median " << median(times) << " ms, best " << std::ranges::min(times) << " ms\n";
}

void scheduler_steps(const std::string& method) {
  mc::GraphModule module(mc::build_model("resnet18", {}));
  mc::IterativePruningConfig config;
  config.pruning_fn = method;
  config.pruning_fn_default_kwargs.target_sparsity = 0.9;
  config.pruning_frequency = 1;
  config.policy_end_step = 60;
  mc::IterativePruningScheduler scheduler(module, config);
  std::vector<double> times;
  for (int i = 0; i < 60; ++i) {
    {
      const at::NoGradGuard no_grad;
      for (const std::string& name : module.names(mc::Role::kWeight))
        module.tensor(name).add_(at::randn_like(module.tensor(name)), 1e-3);
    }
    scheduler.before_update();
    times.push_back(milliseconds_of([&] { scheduler.step(); }));
  }
  report("scheduler step, resnet18, " + method, {times.begin() + 10, times.end()});
}

void global_masks() {
  std::vector<mc::ScoreTensor> scores;
  std::vector<mc::WeightAxes> axes(110);
  for (int i = 0; i < 110; ++i) scores.push_back({at::randn({1000, 1000}), true});
  std::vector<double> times;
  for (int i = 0; i < 15; ++i)
    times.push_back(milliseconds_of([&] { mc::keep_masks(scores, 0.9, mc::Unstructured{}, axes); }));
  report("global magnitude, 110 M weights", times);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) at::set_num_threads(std::stoi(argv[1]));
  at::manual_seed(0);
  scheduler_steps("unstructured_magnitude");
  scheduler_steps("global_unstructured_magnitude");
  global_masks();
  return 0;
}
