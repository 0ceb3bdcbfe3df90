#include "mc/prune/batch_loss.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/train/loss.h"

namespace mc {

at::Tensor batch_loss(GraphModule& module, const Batch& batch) {
  const at::Tensor output = module.forward(batch.inputs).at(0);
  at::Tensor labels = batch.labels;
  if (!labels.defined()) {
    MC_CHECK(output.dim() >= 2,
             "without labels the model's own predictions stand in, and output 0 has none: it is no "
             "row of classes for each sample");
    labels = output.detach().argmax(1);
  }
  const bool classes = at::isIntegralType(labels.scalar_type(), /*includeBool=*/false);
  return find_loss(classes ? "cross_entropy" : "mse").make({})(output, labels);
}

std::vector<std::vector<float>> score_channels(const Model& model, const Importance& importance,
                                               const std::vector<ChannelGroup>& groups,
                                               const std::vector<Batch>& batches, uint64_t seed) {
  GraphModule module(model);
  module.eval();
  GroupScorer scorer(importance, model, groups, seed);
  const ParameterLookup lookup = [&](const std::string& name) { return module.tensor(name); };
  if (importance.needs_gradients) {
    MC_CHECK(!batches.empty(), "{} looks at the gradients of samples; give --data", importance.name);
    for (const Batch& batch : batches) {
      batch_loss(module, batch).backward();
      scorer.observe(lookup);
      module.zero_grad();
    }
  }
  return scorer.scores(lookup);
}

}  // namespace mc
