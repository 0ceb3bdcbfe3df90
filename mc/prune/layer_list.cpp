#include "mc/prune/layer_list.h"

#include "mc/calibration/layer_matrix.h"
#include "mc/calibration/linear_layer.h"
#include "mc/graph/graph.h"

namespace mc {
namespace {

// Why the layer is not listed; empty when it is.
std::string list_obstacle(const GraphModule& module, const Graph& graph, const Uses& uses, const Node& node) {
  if (node.is("ConvTranspose")) return "the windows of a transposed convolution overlap in its output";
  const Initializer* weight = graph.initializer(node.input(1));
  if (!weight || module.role(weight->name) != Role::kWeight) return "its weight does not train";
  if (!linear_layer(graph, uses, node)) return "its weight has another reader or form";
  return "";
}

// The layer's own bias, where it trains and nothing else reads it.
std::string own_bias(const GraphModule& module, const Graph& graph, const Uses& uses, const Node& node) {
  const Initializer* bias = node.is("MatMul") ? nullptr : graph.initializer(node.input(2));
  const bool own = bias && module.role(bias->name) == Role::kWeight && uses.consumers(bias->name).size() == 1;
  const Initializer* weight = graph.initializer(node.input(1));
  return own && bias->tensor.count() == output_channels(node, weight->tensor.dims) ? bias->name : "";
}

}  // namespace

LayerList list_layers(const GraphModule& module) {
  const Graph& graph = module.structure().graph;
  const Uses uses(graph);
  LayerList result;
  for (const Node& node : graph.nodes) {
    const bool layer = node.is("Conv") || node.is("ConvTranspose") || node.is("Gemm") || node.is("MatMul");
    if (!layer) continue;
    const std::string reason = list_obstacle(module, graph, uses, node);
    if (!reason.empty()) {
      result.others.push_back({node.name, reason});
      continue;
    }
    const std::string& weight = node.inputs[1];
    result.layers.push_back({node, weight, own_bias(module, graph, uses, node),
                             *layer_input(node, module.tensor(weight).sizes().vec())});
  }
  return result;
}

}  // namespace mc
