// Where a target wants quantized values: a plan over the graph as written, before anything is changed.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct QuantizedLayer {
  std::string node;  // Conv, ConvTranspose, Gemm, MatMul or Gather with a constant weight, by its output
  std::string batch_norm;  // output value of the batch norm to fold into it; empty: none
  size_t weight = 1;       // which input is the weight
  WeightScales scales;
  int64_t channel_axis = 0;  // that batch norm scales
  int64_t bits = 8;          // of the weight
};

struct Placement {
  std::vector<QuantizedLayer> layers;
  std::set<std::string> values;  // activations to quantize; the value after a fused activation function
  // Of those values, which a node that stays float reads as they were before: the residual stream of a
  // transformer passes by its quantizers. By the node's first output.
  std::map<std::string, std::set<std::string>> float_reads;
  std::vector<LayerQuantization> report;
};

// Throws Error when the model already holds quantization operators, or a pattern of the options
// matches no node.
Placement place(const Model& model, const QuantizeOptions& options);

// True where `node` is an activation function that may be fused into the quantization of its output:
// its input is made by a node and read by nothing else.
bool fuses_into_quantize(const Graph& graph, const Uses& uses, const Node& node);

}  // namespace mc
