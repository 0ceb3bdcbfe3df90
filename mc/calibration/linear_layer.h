// Layers that multiply by a constant weight, seen in one form whatever their operator.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"

namespace mc {

// y = W x + b: Conv, ConvTranspose, MatMul by a matrix, or Gemm with alpha = beta = 1 and A as it is; the
// weight is input 1. A bias is input 2; that of a MatMul is an Add of its own.
struct LinearLayer {
  const Node* node = nullptr;
  at::Tensor weight;  // float [group, out / group, in / group, kernel elements], a view of the initializer
  int64_t inputs() const { return weight.size(0) * weight.size(2); }
  int64_t outputs() const { return weight.size(0) * weight.size(1); }
  bool convolves() const { return !node->is("Gemm") && !node->is("MatMul"); }  // channels are axis 1
};

// nullopt for other operators, and where the weight is not float32, not constant, or read by another node
// too.
std::optional<LinearLayer> linear_layer(const Graph& graph, const Uses& uses, const Node& node);

// Output channels of Conv, ConvTranspose, MatMul or Gemm, from the dims of the weight, input 1; at least two.
int64_t output_channels(const Node& layer, const std::vector<int64_t>& weight_dims);

// A layer's contiguous weight as [group, out / group, in / group, kernel elements]: a view of it.
at::Tensor by_group(const Node& node, const at::Tensor& weight);

// Multiplies the weight by a factor (double) for each output or input channel. Structure and `uses` stay
// valid.
void scale_weight_outputs(Graph& graph, const Uses& uses, Node& node, const at::Tensor& factor);
void scale_weight_inputs(Graph& graph, const Uses& uses, Node& node, const at::Tensor& factor);

// The same for an input of any operator that holds one element a channel, however it is shaped; what another
// node reads too is copied first.
void scale_vector(Graph& graph, const Uses& uses, Node& node, size_t input, const at::Tensor& factor);

}  // namespace mc
