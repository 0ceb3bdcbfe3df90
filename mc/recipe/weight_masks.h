// Masks that a network was pruned with before it came to us.
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// A weight that torch.nn.utils.prune masks is exported as the product of two constants, NAME_orig and a mask
// of zeros and ones; as such it would not train. The product takes the product node's place as one parameter,
// called NAME where that is free, and its mask goes with it (kMaskOf), so that what was pruned stays so.
// Masks of ones, and of what is no layer's weight or bias, are only multiplied in. Returns how many masks
// came.
int take_weight_masks(Model& model);

// The part of zeros among the weights of convolutions and matrix products that no mask holds: they would
// train like all others. 0 for a model without such weights.
double zeros_without_mask(const Model& model);

// Forgets all masks; the zeros in the weights stay.
void drop_weight_masks(Graph& graph);

}  // namespace mc
