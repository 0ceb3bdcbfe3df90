#include <algorithm>

#include "mc/rewrite/passes.h"

namespace mc {
namespace {

bool only_first_output_used(const Uses& uses, const Node& node) {
  return std::all_of(node.outputs.begin() + 1, node.outputs.end(), [&](const std::string& output) {
    return output.empty() || (uses.consumers(output).empty() && !uses.is_output(output));
  });
}

// In training form it gives the new statistics too (since opset 14; before that, that alone said so).
bool normalize_by_statistics(Graph& graph, const Uses& uses, Node& node) {
  if (node.outputs.empty() || !only_first_output_used(uses, node)) return false;
  if (node.outputs.size() == 1 && node.get_int("training_mode", 0) == 0) return false;
  node.erase("training_mode");
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return info.name == node.outputs[i]; });
  }
  node.outputs.resize(1);
  return true;
}

// The third input says whether it drops; without it, it does not.
bool keep_everything(Node& node) {
  if (node.inputs.size() < 3) return false;
  node.inputs.resize(2);
  return true;
}

}  // namespace

int inference_form(Model& model) {
  int changes = 0;
  for_each_graph(model.graph, [&](Graph& graph) {
    const Uses uses(graph);
    for (Node& node : graph.nodes) {
      if (node.is("BatchNormalization")) changes += normalize_by_statistics(graph, uses, node);
      if (node.is("Dropout")) changes += keep_everything(node);
    }
  });
  return changes;
}

}  // namespace mc
