// What inference knows beyond the types that infer_shapes writes into a model.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

// Output types of one node whose inputs are all constants (null: omitted); unknown where inference says
// nothing. Throws Error where the inputs contradict each other.
std::vector<Type> infer_outputs(const Node& node, int64_t opset, const std::vector<const Tensor*>& inputs);

// infer_shapes, with names of our own for dims of which nothing is known but that they have one size: "mc?7".
// Values with dims of one name are as long as each other. For models that are looked at, not written.
void infer_named_shapes(Model& model);

// What the nodes of the outermost graph make whatever is fed, by name: shapes and the arithmetic on them, and
// other small constants. Throws Error as infer_shapes does.
std::unordered_map<std::string, Tensor> known_values(const Model& model);

}  // namespace mc
