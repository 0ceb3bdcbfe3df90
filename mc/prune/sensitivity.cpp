#include "mc/prune/sensitivity.h"

#include <cmath>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

const std::vector<double> kSparsities = {0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99};

double mean_loss(const ScoreData& data) {
  double sum = 0;
  for (int64_t i = 0; i < data.batches; ++i) sum += data.loss(i).item<double>();
  const double mean = sum / static_cast<double>(data.batches);
  MC_CHECK(std::isfinite(mean), "the loss on the samples is not a finite number");
  return mean;
}

// eval() for a while.
class EvalGuard {
 public:
  explicit EvalGuard(torch::nn::Module& module) : module_(module), training_(module.is_training()) {
    module_.eval();
  }
  ~EvalGuard() { module_.train(training_); }
  EvalGuard(const EvalGuard&) = delete;
  EvalGuard& operator=(const EvalGuard&) = delete;

 private:
  torch::nn::Module& module_;
  bool training_;
};

// The weight as it was, whatever happens.
class WeightGuard {
 public:
  explicit WeightGuard(at::Tensor weight) : weight_(std::move(weight)), values_(weight_.detach().clone()) {}
  ~WeightGuard() { restore(); }
  void restore() {
    const at::NoGradGuard no_grad;
    weight_.copy_(values_);
  }
  WeightGuard(const WeightGuard&) = delete;
  WeightGuard& operator=(const WeightGuard&) = delete;

 private:
  at::Tensor weight_, values_;
};

}  // namespace

std::vector<SensitivityCurve> sensitivity_curves(torch::nn::Module& module,
                                                 const std::vector<PruneTarget>& targets,
                                                 const ScoreData& data) {
  MC_CHECK(data.batches > 0 && data.loss,
           "sparsities can be spread by sensitivity only with samples to measure the loss on");
  const at::NoGradGuard no_grad;
  const EvalGuard eval(module);
  const double dense = mean_loss(data);
  std::vector<SensitivityCurve> curves;
  for (const PruneTarget& target : targets) {
    SensitivityCurve curve{.elements = target.parameter.numel(), .sparsities = {0}, .losses = {dense}};
    at::Tensor weight = target.parameter;
    WeightGuard guard(weight);
    for (size_t i = 1; i < kSparsities.size(); ++i) {
      weight.mul_(keep_mask({weight, true}, kSparsities[i], target.settings.structure, target.axes));
      curve.sparsities.push_back(kSparsities[i]);
      // Noise must not reward pruning more.
      curve.losses.push_back(std::max(mean_loss(data), curve.losses.back()));
      guard.restore();
    }
    curves.push_back(std::move(curve));
  }
  return curves;
}

void spread_by_sensitivity(torch::nn::Module& module, std::vector<PruneTarget>& targets,
                           const ScoreData& data) {
  double wanted = 0, elements = 0;
  for (const PruneTarget& target : targets) {
    MC_CHECK(
        target.settings.group.empty() && (std::holds_alternative<Unstructured>(target.settings.structure) ||
                                          std::holds_alternative<Blocks>(target.settings.structure)),
        "sparsities can be spread by sensitivity for methods of elements or blocks with a threshold for each "
        "weight; {} is none",
        target.method->name);
    wanted += target.settings.target * static_cast<double>(target.parameter.numel());
    elements += static_cast<double>(target.parameter.numel());
  }
  const std::vector<double> sparsities =
      allocate_sparsity(sensitivity_curves(module, targets, data), wanted / elements);
  for (size_t i = 0; i < targets.size(); ++i) targets[i].settings.target = sparsities[i];
}

}  // namespace mc
