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
#include "mc/prune/mask_request.h"
#include "mc/prune/prune.h"

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

// Reading and writing what a step must: the weights twice, the second time written, and the masks.
void memory_passes() {
  const at::Tensor weights = at::randn({11'200'000}), mask = at::ones({11'200'000}, at::kByte);
  std::vector<double> times;
  for (int i = 0; i < 20; ++i) {
    times.push_back(milliseconds_of([&] {
      weights.sum();
      weights.mul_(1.0F);
      mask.fill_(1);
    }));
  }
  report("ATen's sum, scaling and filling of as much memory", times);
}

void scheduler_steps(const std::string& method) {
  mc::GraphModule module(mc::build_model("resnet18", {}));
  mc::IterativePruningConfig config;
  config.pruning_fn = method;
  config.pruning_fn_default_kwargs.target_sparsity = 0.9;
  config.pruning_frequency = 1;
  config.policy_end_step = 60;
  mc::IterativePruningScheduler scheduler(module, config);
  std::vector<at::Tensor> weights, gradients;
  for (const std::string& name : module.names(mc::Role::kWeight)) {
    weights.push_back(module.tensor(name));
    gradients.push_back(at::randn_like(weights.back()));
  }
  std::vector<double> times;
  for (int i = 0; i < 60; ++i) {
    const at::NoGradGuard no_grad;
    // As an optimizer leaves the caches behind: it goes over all weights and gradients just before.
    for (size_t k = 0; k < weights.size(); ++k) weights[k].add_(gradients[k].mul_(-0.9), 1e-3);
    scheduler.before_update();
    times.push_back(milliseconds_of([&] { scheduler.step(); }));
  }
  report("scheduler step, resnet18, " + method, {times.begin() + 10, times.end()});
}

// 110 matrices of a million weights, as new masks and as masks written anew.
void global_masks() {
  std::vector<mc::MaskRequest> requests(1);
  requests[0].sparsity = 0.9;
  requests[0].axes.resize(110);
  for (int i = 0; i < 110; ++i) requests[0].scores.push_back({at::randn({1000, 1000}), true});
  std::vector<double> fresh, again;
  for (int i = 0; i < 30; ++i) {
    const bool first = i % 2 == 0;
    if (first) requests[0].keep.clear();
    (first ? fresh : again).push_back(milliseconds_of([&] { mc::make_masks(requests); }));
  }
  report("global magnitude, 110 M weights, new masks", fresh);
  report("global magnitude, 110 M weights, masks of the step before", again);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) at::set_num_threads(std::stoi(argv[1]));
  at::manual_seed(0);
  memory_passes();
  scheduler_steps("unstructured_magnitude");
  scheduler_steps("global_unstructured_magnitude");
  global_masks();
  return 0;
}
