#include "mc/rewrite/passes.h"

namespace mc {

int fuse_add_relu(Model& model) {
  Graph& graph = model.graph;
  const Uses uses(graph);
  int fused = 0;
  for (Node& relu : graph.nodes) {
    if (!relu.is("Relu")) continue;
    const std::string sum = relu.inputs[0];
    const auto producer = uses.producer(sum);
    if (!producer || !graph.nodes[*producer].is("Add") || uses.is_output(sum) ||
        uses.consumers(sum).size() != 1) {
      continue;
    }
    const Node add = graph.nodes[*producer];
    relu.op_type = "AddRelu";
    relu.domain = "mc";
    relu.inputs = add.inputs;
    Node sourced = add;
    absorb(sourced, relu);
    relu.metadata = std::move(sourced.metadata);
    ++fused;
  }
  if (fused == 0) return 0;
  graph.drop_unused();
  if (model.opset("mc") == 0) model.set_opset("mc", 1);
  return fused;
}

}  // namespace mc
