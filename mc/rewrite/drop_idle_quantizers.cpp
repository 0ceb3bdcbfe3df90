#include <algorithm>
#include <array>

#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr size_t kFlagsInput = 5;

bool idle(const Graph& graph, const Uses& uses, const Node& node) {
  if (!node.is("FakeQuantize", "mc")) return false;
  const Tensor* flags = constant_value(graph, uses, node.input(kFlagsInput));
  return flags && std::ranges::all_of(flags->as_ints(), [](int64_t flag) { return flag == 0; });
}

std::string float_constant(Graph& graph, const std::string& name, float value) {
  const std::string unique = graph.unique_value_name(name);
  graph.add_initializer(unique, Tensor::floats({}, std::array<float, 1>{value}));
  return unique;
}

// What is left of the quantizer: the activation function that it took in.
void leave_activation(Model& model, Node& node) {
  const std::string activation = node.get_string("activation", "");
  Node left;
  left.op_type = activation.empty() ? "Identity" : activation;
  left.name = node.name;
  left.metadata = node.metadata;
  left.inputs = {node.inputs[0]};
  left.outputs = node.outputs;
  if (activation == "Clip") {
    const float low = node.get_float("clip_min", 0), high = node.get_float("clip_max", 0);
    if (model.opset() < 11) {
      left.set({"min", low});
      left.set({"max", high});
    } else {
      left.inputs.push_back(float_constant(model.graph, node.outputs[0] + "_low", low));
      left.inputs.push_back(float_constant(model.graph, node.outputs[0] + "_high", high));
    }
  }
  node = std::move(left);
}

}  // namespace

int drop_idle_quantizers(Model& model) {
  Graph& graph = model.graph;
  const Uses uses(graph);
  int dropped = 0;
  for (Node& node : graph.nodes) {
    if (!idle(graph, uses, node)) continue;
    leave_activation(model, node);
    ++dropped;
  }
  return dropped;
}

}  // namespace mc
