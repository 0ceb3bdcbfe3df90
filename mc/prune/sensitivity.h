// How sparsity is spread by what pruning each weight by itself does to the loss.
#pragma once

#include <vector>

#include <torch/nn/module.h>

#include "mc/prune/distribution.h"
#include "mc/prune/pruning_config.h"

namespace mc {

// The loss over `data`, in eval() and without gradients, with each of the weights alone pruned to sparsities
// from 0 to 0.99 by the magnitude of its elements, in its own structure. The module is left as it was. Throws
// Error where there is no data, and for a loss that is not finite.
std::vector<SensitivityCurve> sensitivity_curves(torch::nn::Module& module,
                                                 const std::vector<PruneTarget>& targets,
                                                 const ScoreData& data);

// Sets the targets' sparsities by allocate_sparsity, so that together they lose as much as before.
void spread_by_sensitivity(torch::nn::Module& module, std::vector<PruneTarget>& targets,
                           const ScoreData& data);

}  // namespace mc
