#include "mc/quantize/layer_obstacle.h"

#include <algorithm>

#include "mc/ops/op.h"

namespace mc {
namespace {

int64_t channel_axis(const Model& model, const Node& node, int64_t rank) {
  const Op* op = find_op(node.domain, node.op_type, model.opset(node.domain));
  return op && op->channel_axis ? op->channel_axis(node, 1, rank) : -1;
}

// Layers of one kind can read one quantized weight.
std::string sharing_obstacle(const Model& model, const Uses& uses, const Node& node, bool folds_norm) {
  const std::string& weight = node.inputs[1];
  if (uses.is_output(weight)) return "its weight is an output of the model";
  const auto& readers = uses.consumers(weight);
  if (readers.size() == 1) return "";
  if (folds_norm) return "its weight is shared with another node, and batch norm is folded into it";
  const auto rank = static_cast<int64_t>(model.graph.initializer(weight)->tensor.dims.size());
  const bool same = std::ranges::all_of(readers, [&](const Uses::Use& use) {
    if (use.input != 1) return false;
    const Node& reader = model.graph.nodes[use.node];
    return reader.op_type == node.op_type && reader.domain == node.domain &&
           channel_axis(model, reader, rank) == channel_axis(model, node, rank);
  });
  return same ? "" : "its weight is shared with a node of another kind";
}

std::string gemm_obstacle(const Graph& graph, const Node& node) {
  if (node.get_float("alpha", 1) != 1 || node.get_float("beta", 1) != 1) return "alpha or beta is not 1";
  if (node.get_int("transA", 0) != 0) return "its input is transposed";
  const Initializer* bias = graph.initializer(node.input(2));
  if (bias && bias->tensor.dims.size() == 2 && bias->tensor.dims[0] != 1) return "its bias differs by row";
  return "";
}

}  // namespace

std::string layer_obstacle(const Model& model, const Uses& uses, const Node& node,
                           const QuantizeTarget& target, bool folds_norm) {
  const Graph& graph = model.graph;
  const Initializer* weight = graph.initializer(node.input(1));
  if (!weight) return "its weight is not a constant";
  if (weight->tensor.dtype != DType::kFloat) return "its weight is not float32";
  if (node.op_type == "MatMul" && weight->tensor.dims.size() != 2) return "its weight is not a matrix";
  if (!node.domain.empty()) return "engines have no integer kernel for it";
  if (node.op_type == "ConvTranspose") {
    if (!target.conv_transpose) return "the target has no integer kernel for it";
    if (!target.grouped_conv_transpose && node.get_int("group", 1) != 1)
      return "the target has no integer kernel for it with groups";
  }
  if (target.quantize_bias && !node.input(2).empty() && !graph.initializer(node.input(2)))
    return "its bias is not a constant";
  if (node.op_type == "Gemm") {
    const std::string reason = gemm_obstacle(graph, node);
    if (!reason.empty()) return reason;
  }
  return sharing_obstacle(model, uses, node, folds_norm);
}

}  // namespace mc
