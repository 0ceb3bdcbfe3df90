// Synaptic flow: which weights carry what flows through a network, seen without any data.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/module/graph_module.h"

namespace mc {

// H. Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow",
// NeurIPS 2020, section 6: |dR / dw * w| of the named weights, where R is the sum of the outputs for these
// inputs with every weight and running statistic in magnitude (batch norm as in eval(), as the authors' code
// has it). The module is as before afterwards. Throws Error when a score is NaN or infinite: the flow of a
// deep network without normalization may leave the range of its numbers.
std::vector<at::Tensor> synaptic_flow(GraphModule& module, const std::vector<std::string>& weights,
                                      const std::vector<at::Tensor>& inputs);

// Ones of the shape of each input, one sample. A dimension that the model leaves open, other than the first,
// is that of `example` (none: Error).
std::vector<at::Tensor> ones_for(const GraphModule& module, const std::vector<at::Tensor>& example);

}  // namespace mc
