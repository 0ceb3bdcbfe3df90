// The layers of a prepared module that have a quantized weight, and the biases that belong to them.
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"

namespace mc {

struct BiasedLayer {
  Node node;            // Conv, ConvTranspose, Gemm or MatMul
  std::string bias;     // initializer, [out]
  bool inside = false;  // the node adds it itself; else what follows does
  int64_t level = 0;    // layers on the longest way to it from an input
  std::string output() const { return node.outputs[0]; }
  bool convolves() const { return !node.is("Gemm") && !node.is("MatMul"); }  // channels are axis 1
};

// Gives every layer with a quantized weight a bias of its own, zero where it had none: input 2, the shift of
// the folded batch norm behind it, or an Add behind a MatMul. Values keep their names but for that of
// such a MatMul. Then lists the layers in the graph's order, without those whose bias is computed or is not
// one element a channel. Throws Error when there is no layer with a quantized weight.
std::vector<BiasedLayer> give_biases(GraphModule& prepared);

}  // namespace mc
