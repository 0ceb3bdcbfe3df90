#include "mc/prune/output_error.h"

#include <cmath>
#include <memory>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/module/mode_guard.h"

namespace mc {
namespace {

// All floating-point outputs one after another.
at::Tensor flat_outputs(GraphModule& module, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& output : module.forward(inputs)) {
    if (output.is_floating_point()) flat.push_back(output.to(at::kDouble).flatten());
  }
  MC_CHECK(!flat.empty(), "the model has no output of real numbers to compare");
  return at::cat(flat);
}

}  // namespace

HeldOutputs::HeldOutputs(GraphModule& module, const Samples& samples) {
  const at::NoGradGuard no_grad;
  const ModeGuard mode(module, /*training=*/false);
  double whole = 0;
  for_each_batch(samples, "outputs", [&](const Batch& batch) {
    held_.push_back({batch.inputs, flat_outputs(module, batch.inputs)});
    whole += held_.back().outputs.square().sum().item<double>();
  });
  MC_CHECK(whole > 0 && std::isfinite(whole), "the model's outputs are all 0, or hold NaN or infinity");
  mean_ = whole / static_cast<double>(held_.size());
}

at::Tensor HeldOutputs::error(GraphModule& module, int64_t i) const {
  const HeldBatch& batch = held_.at(static_cast<size_t>(i));
  return (flat_outputs(module, batch.inputs) - batch.outputs).square().sum() / mean_;
}

double HeldOutputs::error(GraphModule& module) const {
  const at::NoGradGuard no_grad;
  const ModeGuard mode(module, /*training=*/false);
  double sum = 0;
  for (int64_t i = 0; i < batches(); ++i) sum += error(module, i).item<double>();
  return sum / static_cast<double>(batches());
}

ScoreData output_error(GraphModule& module, const Samples& samples) {
  const auto held = std::make_shared<const HeldOutputs>(module, samples);
  ScoreData data;
  data.batches = held->batches();
  data.inputs = [held](int64_t i) { return held->inputs(i); };
  data.loss = [held, &module](int64_t i) { return held->error(module, i); };
  return data;
}

}  // namespace mc
