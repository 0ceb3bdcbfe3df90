#include "mc/calibration/linear_layer.h"

#include <ATen/ATen.h>

#include "mc/ops/slot.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

bool is_linear(const Node& node) {
  if (node.is("Gemm")) {
    return node.get_float("alpha", 1) == 1 && node.get_float("beta", 1) == 1 && !node.get_int("transA", 0);
  }
  return node.is("Conv") || node.is("ConvTranspose") || node.is("MatMul");
}

// Gives the node's constant input other values, of the same shape and type.
void replace_constant(Graph& graph, const Uses& uses, Node& node, size_t input, const at::Tensor& values) {
  const std::string name = node.inputs[input];
  const Tensor* old = constant_value(graph, uses, name);
  Tensor constant = to_constant(values.to(to_scalar_type(old->dtype)).contiguous());
  constant.metadata = old->metadata;
  constant.doc = old->doc;
  if (graph.initializer(name) && uses.consumers(name).size() <= 1 && !uses.is_output(name)) {
    graph.set_initializer(name, std::move(constant));
    return;
  }
  node.inputs[input] = graph.unique_value_name(name + "_scaled");
  graph.add_initializer(node.inputs[input], std::move(constant));
}

// A copy in double, with the layout of the initializer.
at::Tensor double_copy(const Graph& graph, const Uses& uses, const Node& node, size_t input) {
  return to_aten(*constant_value(graph, uses, node.inputs[input]), false).to(at::kDouble).contiguous();
}

}  // namespace

int64_t output_channels(const Node& layer, const std::vector<int64_t>& weight_dims) {
  if (layer.is("ConvTranspose")) return weight_dims[1] * layer.get_int("group", 1);
  const bool rows = layer.is("Conv") || (layer.is("Gemm") && layer.get_int("transB", 0) != 0);
  return weight_dims[rows ? 0 : 1];
}

at::Tensor by_group(const Node& node, const at::Tensor& weight) {
  if (node.is("MatMul") || (node.is("Gemm") && !node.get_int("transB", 0))) {
    return weight.t().unsqueeze(0).unsqueeze(-1);
  }
  if (node.is("Gemm")) return weight.unsqueeze(0).unsqueeze(-1);
  const int64_t group = node.get_int("group", 1);
  const at::Tensor grouped = weight.view({group, weight.size(0) / group, weight.size(1), -1});
  return node.is("ConvTranspose") ? grouped.transpose(1, 2) : grouped;
}

std::optional<LinearLayer> linear_layer(const Graph& graph, const Uses& uses, const Node& node) {
  if (!is_linear(node) || node.outputs.empty()) return std::nullopt;
  const Tensor* weight = constant_value(graph, uses, node.input(1));
  if (!weight || weight->dtype != DType::kFloat || weight->count() == 0) return std::nullopt;
  if (uses.consumers(node.inputs[1]).size() != 1 || uses.is_output(node.inputs[1])) return std::nullopt;
  const bool matrix = node.is("Gemm") || node.is("MatMul");
  const int64_t group = matrix ? 1 : node.get_int("group", 1);
  if (matrix ? weight->dims.size() != 2 : weight->dims.size() < 3) return std::nullopt;
  if (group < 1 || weight->dims[0] % group != 0) return std::nullopt;
  return LinearLayer{&node, by_group(node, to_aten(*weight, false))};
}

void scale_weight_outputs(Graph& graph, const Uses& uses, Node& node, const at::Tensor& factor) {
  const at::Tensor weight = double_copy(graph, uses, node, 1);
  const at::Tensor grouped = by_group(node, weight);
  grouped.mul_(factor.view({grouped.size(0), grouped.size(1), 1, 1}));
  replace_constant(graph, uses, node, 1, weight);
}

void scale_weight_inputs(Graph& graph, const Uses& uses, Node& node, const at::Tensor& factor) {
  const at::Tensor weight = double_copy(graph, uses, node, 1);
  const at::Tensor grouped = by_group(node, weight);
  grouped.mul_(factor.view({grouped.size(0), 1, grouped.size(2), 1}));
  replace_constant(graph, uses, node, 1, weight);
}

void scale_vector(Graph& graph, const Uses& uses, Node& node, size_t input, const at::Tensor& factor) {
  const at::Tensor values = double_copy(graph, uses, node, input);
  replace_constant(graph, uses, node, input, values * factor.view(values.sizes()));
}

}  // namespace mc
