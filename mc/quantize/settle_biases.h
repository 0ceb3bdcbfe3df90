// Biases become what integer kernels add, so that what was trained is what runs.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"

namespace mc {

// What rounding to int32 does to the bias of one layer: `difference`, float [channels], is added to the
// initializer that holds it, or to the shift of the batch norm that is folded into the layer.
struct RoundedBias {
  std::string initializer;
  at::Tensor difference;
};

// Of every bias that convert turns into integers and that one layer alone reads. Throws what convert throws.
std::vector<RoundedBias> rounded_biases(const Model& trained, const QuantizeOptions& options);

// Moves each of those biases by at most half a step of its layer's accumulator, onto the value that the
// exported model has for it. Doing so again changes nothing. Gives the number of biases.
int64_t settle_biases(GraphModule& module, const QuantizeOptions& options);

}  // namespace mc
