// Which FakeQuantize node stands before what, in a prepared model.
#pragma once

#include <string>

#include "mc/graph/graph.h"

namespace mc {

// The quantizer of the weight that `layer` reads (its input 1); null where it has none.
const Node* weight_quantizer_of(const Graph& graph, const Uses& uses, const Node& layer);

// The quantizer of an activation whose grid `value` is on: of this value, or of the one that it was moved
// from by operators that keep the grid; null where it is on none.
const Node* activation_quantizer_of(const Model& model, const Uses& uses, std::string value);

}  // namespace mc
