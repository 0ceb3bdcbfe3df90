// Which layers a target's integer kernels can take.
#pragma once

#include <string>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

// Why `node`, which multiplies by input 1, stays float for this target; empty when it need not. `folds_norm`:
// a batch norm behind it is to be folded into its weight.
std::string layer_obstacle(const Model& model, const Uses& uses, const Node& node,
                           const QuantizeTarget& target, bool folds_norm);

}  // namespace mc
