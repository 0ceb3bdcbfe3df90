#include <unordered_set>

#include "mc/graph/graph.h"

namespace mc {
namespace {

void add_once(std::vector<std::string>& list, std::unordered_set<std::string>& seen,
              const std::string& value) {
  if (!value.empty() && seen.insert(value).second) list.push_back(value);
}

}  // namespace

std::vector<std::string> captures(const Graph& graph) {
  std::unordered_set<std::string> seen;  // defined here, or already in the list
  for (const ValueInfo& input : graph.inputs) seen.insert(input.name);
  for (const Initializer& initializer : graph.initializers()) seen.insert(initializer.name);
  for (const Node& node : graph.nodes) seen.insert(node.outputs.begin(), node.outputs.end());
  std::vector<std::string> free;
  for (const Node& node : graph.nodes) {
    for (const std::string& value : reads(node)) add_once(free, seen, value);
  }
  for (const ValueInfo& output : graph.outputs) add_once(free, seen, output.name);
  return free;
}

std::vector<std::string> reads(const Node& node) {
  std::unordered_set<std::string> seen;
  std::vector<std::string> names;
  for (const std::string& input : node.inputs) add_once(names, seen, input);
  for (const Attribute& attribute : node.attributes) {
    for (const Graph* subgraph : attribute.graphs()) {
      for (const std::string& value : captures(*subgraph)) add_once(names, seen, value);
    }
  }
  return names;
}

Uses::Uses(const Graph& graph) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    for (const std::string& output : node.outputs) {
      if (!output.empty()) producers_.emplace(output, n);
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].empty()) consumers_[node.inputs[i]].push_back({n, i});
    }
    for (const Attribute& attribute : node.attributes) {
      for (const Graph* subgraph : attribute.graphs()) {
        for (const std::string& value : captures(*subgraph)) consumers_[value].push_back({n, npos});
      }
    }
  }
  for (const ValueInfo& output : graph.outputs) outputs_[output.name] = true;
}

std::optional<size_t> Uses::producer(const std::string& value) const {
  const auto found = producers_.find(value);
  if (found == producers_.end()) return std::nullopt;
  return found->second;
}

const std::vector<Uses::Use>& Uses::consumers(const std::string& value) const {
  static const std::vector<Use> kNone;
  const auto found = consumers_.find(value);
  return found == consumers_.end() ? kNone : found->second;
}

bool Uses::is_output(const std::string& value) const {
  return outputs_.contains(value);
}

}  // namespace mc
