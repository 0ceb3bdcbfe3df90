#include <algorithm>

#include "mc/rewrite/passes.h"

namespace mc {
namespace {

bool reshape_keeps(const Graph& graph, const Uses& uses, const Node& node) {
  const auto type = graph.type_of(node.input(0));
  const Tensor* shape = constant_value(graph, uses, node.input(1));
  if (!type || !type->shape || !shape || shape->count() != static_cast<int64_t>(type->shape->size()))
    return false;
  // One dim that is not a number is pinned by all the others.
  const std::vector<int64_t> wanted = shape->as_ints();
  int open = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Dim& dim = (*type->shape)[i];
    const bool copied = wanted[i] == 0 && node.get_int("allowzero", 0) == 0;
    if (copied || (dim.known() && dim.value == wanted[i])) continue;
    if (wanted[i] != -1 || ++open > 1) return false;
  }
  return true;
}

bool transpose_keeps(const Node& node) {
  const std::vector<int64_t> perm = node.get_ints("perm");
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return !perm.empty();
}

bool changes_nothing(const Graph& graph, const Uses& uses, const Node& node) {
  if (!node.domain.empty() || node.inputs.empty() || node.inputs[0].empty() || node.outputs.empty())
    return false;
  if (node.op_type == "Identity") return true;
  if (node.op_type == "Transpose") return transpose_keeps(node);
  if (node.op_type == "Reshape") return reshape_keeps(graph, uses, node);
  if (node.op_type == "Cast") {
    const auto type = graph.type_of(node.inputs[0]);
    return type && type->is_tensor() && static_cast<int64_t>(type->dtype) == node.get_int("to", -1);
  }
  if (node.op_type == "Dropout") {
    return node.outputs.size() < 2 || node.outputs[1].empty() ||
           (uses.consumers(node.outputs[1]).empty() && !uses.is_output(node.outputs[1]));
  }
  return false;
}

// Makes the node's input and output one value, which keeps the output's name where a node makes it.
// False where a graph output stands in the way.
bool bypass(Graph& graph, const Uses& uses, Node& node) {
  const std::string from = node.inputs[0], to = node.outputs[0];
  if (const auto producer = uses.producer(from); producer && !uses.is_output(from)) {
    Node& maker = graph.nodes[*producer];
    std::ranges::replace(maker.outputs, from, to);
    absorb(maker, node);
    graph.replace_uses(from, to);
    std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return info.name == from; });
    return true;
  }
  if (uses.is_output(to)) return false;
  graph.replace_uses(to, from);
  std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return info.name == to; });
  return true;
}

}  // namespace

int drop_identity(Model& model) {
  Graph& graph = model.graph;
  int dropped = 0;
  for (size_t i = 0; i < graph.nodes.size();) {
    const Uses uses(graph);
    size_t next = i;
    while (next < graph.nodes.size() && !changes_nothing(graph, uses, graph.nodes[next])) ++next;
    if (next == graph.nodes.size()) break;
    if (bypass(graph, uses, graph.nodes[next])) {
      graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(next));
      ++dropped;
      i = next;
    } else {
      i = next + 1;
    }
  }
  return dropped;
}

}  // namespace mc
