// The loss of one batch, where pruning looks at gradients without training.
#pragma once

#include <vector>

#include "mc/data/dataset.h"
#include "mc/module/graph_module.h"
#include "mc/prune/group_scores.h"

namespace mc {

// A scalar with autograd: cross-entropy with the labels where they are integers, mean squared error where
// they are not, and without labels cross-entropy with the model's own predictions (the largest output of each
// row). Throws Error where output and labels do not fit, and for an output without rows and columns when
// there are no labels.
at::Tensor batch_loss(GraphModule& module, const Batch& batch);

// Scores of the model's channels (group_scores.h), gradients by batch_loss in eval(); `batches` are looked at
// only by kinds that need gradients. Throws Error where they need them and there is no batch.
std::vector<std::vector<float>> score_channels(const Model& model, const Importance& importance,
                                               const std::vector<ChannelGroup>& groups,
                                               const std::vector<Batch>& batches, uint64_t seed = 0);

}  // namespace mc
