// Did the engine turn the quantized operators into integer kernels? Read from the optimized graph that ONNX
// Runtime writes (EngineOptions::optimized_model).
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct KernelCheck {
  std::vector<std::string> integer;   // labels of nodes that multiply integers
  std::vector<std::string> floating;  // labels of convolutions and matrix products left in float
};

// Convolutions and matrix products of `optimized`, subgraphs included, by the numbers they multiply.
KernelCheck check_integer_kernels(const Model& optimized);

}  // namespace mc
