#include <unordered_set>

#include "mc/graph/graph.h"

namespace mc {
namespace {

// Names of the values that the outputs need, found backwards from them; marks the nodes met.
std::unordered_set<std::string> needed_values(const Graph& graph, std::vector<bool>& node_needed) {
  const Uses uses(graph);
  std::unordered_set<std::string> needed;
  std::vector<std::string> pending;
  const auto need = [&](const std::string& value) {
    if (needed.insert(value).second) pending.push_back(value);
  };
  for (const ValueInfo& output : graph.outputs) need(output.name);
  while (!pending.empty()) {
    const std::string value = std::move(pending.back());
    pending.pop_back();
    const std::optional<size_t> producer = uses.producer(value);
    if (!producer || node_needed[*producer]) continue;
    node_needed[*producer] = true;
    for (const std::string& input : reads(graph.nodes[*producer])) need(input);
  }
  return needed;
}

}  // namespace

int Graph::drop_unused() {
  size_t dropped = 0;
  for (Node& node : nodes) {
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) dropped += static_cast<size_t>(subgraph->drop_unused());
    }
  }
  std::vector<bool> node_needed(nodes.size(), false);
  std::unordered_set<std::string> kept = needed_values(*this, node_needed);

  std::vector<Initializer> old_initializers = std::move(initializers_);
  initializers_.clear();
  initializer_index_.clear();
  std::unordered_set<std::string> gone;
  for (Initializer& initializer : old_initializers) {
    const std::string* masked = find_metadata(initializer.tensor.metadata, kMaskOf);
    if (kept.contains(initializer.name) || (masked != nullptr && kept.contains(*masked))) {
      initializer_index_.emplace(initializer.name, initializers_.size());
      initializers_.push_back(std::move(initializer));
    } else {
      gone.insert(initializer.name);
    }
  }
  dropped += gone.size();
  // The input of a dropped default would become one that a caller must feed.
  std::erase_if(inputs, [&](const ValueInfo& input) { return gone.contains(input.name); });

  size_t n = 0;
  dropped += std::erase_if(nodes, [&](const Node& node) {
    if (node_needed[n++]) return false;
    gone.insert(node.outputs.begin(), node.outputs.end());
    return true;
  });
  for (const Node& node : nodes) kept.insert(node.outputs.begin(), node.outputs.end());
  for (const ValueInfo& input : inputs) kept.insert(input.name);
  for (const Initializer& initializer : initializers_) kept.insert(initializer.name);
  dropped += std::erase_if(value_infos, [&](const ValueInfo& info) { return !kept.contains(info.name); });
  std::erase_if(quantization_annotations,
                [&](const QuantizationAnnotation& note) { return gone.contains(note.tensor_name); });
  return static_cast<int>(dropped);
}

}  // namespace mc
