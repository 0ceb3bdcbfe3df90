// Where the factors of activation-aware quantization go.
#pragma once

#include <set>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"

namespace mc {

// Divides `value` by `factors` (above 0, one for each element of its last axis) by changing constants of the
// nodes that make it: the scale and bias of a normalization, a constant factor or summand, the weight of a
// matrix product, each maybe behind a Relu. Only where no node but those in `readers` (indices) reads the
// value or one on the way to it. False where nothing can take the factors in; nothing has changed then.
bool absorb_division(Graph& graph, const std::string& value, const at::Tensor& factors,
                     const std::set<size_t>& readers);

}  // namespace mc
