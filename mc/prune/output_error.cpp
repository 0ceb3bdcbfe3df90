#include "mc/prune/output_error.h"

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

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

struct HeldBatch {
  std::vector<at::Tensor> inputs;
  at::Tensor outputs;
};

}  // namespace

ScoreData output_error(GraphModule& module, const Samples& samples) {
  const at::NoGradGuard no_grad;
  const ModeGuard mode(module, /*training=*/false);
  auto held = std::make_shared<std::vector<HeldBatch>>();
  double whole = 0;
  for_each_batch(samples, "outputs", [&](const Batch& batch) {
    held->push_back({batch.inputs, flat_outputs(module, batch.inputs)});
    whole += held->back().outputs.square().sum().item<double>();
  });
  MC_CHECK(whole > 0 && std::isfinite(whole), "the model's outputs are all 0, or hold NaN or infinity");
  ScoreData data;
  data.batches = static_cast<int64_t>(held->size());
  data.inputs = [held](int64_t i) { return held->at(static_cast<size_t>(i)).inputs; };
  data.loss = [held, &module, mean = whole / static_cast<double>(held->size())](int64_t i) {
    const HeldBatch& batch = held->at(static_cast<size_t>(i));
    return (flat_outputs(module, batch.inputs) - batch.outputs).square().sum() / mean;
  };
  return data;
}

}  // namespace mc
