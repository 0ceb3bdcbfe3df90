#include "mc/prune/split_sequences.h"

#include <algorithm>
#include <map>
#include <optional>

#include "mc/ops/infer_helpers.h"
#include "mc/rewrite/pass.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr int64_t kMostParts = 1024;

// The sizes along the axis, in the order of the parts.
std::optional<std::vector<int64_t>> part_sizes(const Graph& graph, const Uses& uses, const Node& node,
                                               int64_t axis, int64_t size) {
  const Tensor* split = constant_value(graph, uses, node.input(1));
  if (!split || axis < 0 || size < 1 || (split->dtype != DType::kInt64 && split->dtype != DType::kInt32))
    return std::nullopt;
  std::vector<int64_t> sizes = split->as_ints();
  if (split->dims.empty()) {
    const int64_t part = sizes[0];
    if (part < 1 || (size + part - 1) / part > kMostParts) return std::nullopt;
    sizes.clear();
    for (int64_t left = size; left > 0; left -= part) sizes.push_back(std::min(left, part));
  }
  int64_t sum = 0;
  for (const int64_t part : sizes) {
    if (part < 1 || part > size) return std::nullopt;
    sum += part;
  }
  return sum == size ? std::optional(sizes) : std::nullopt;
}

// What SequenceAt nodes make of the sequence: place -> node. nullopt where anything else reads it.
std::optional<std::map<int64_t, std::vector<size_t>>> readers(const Graph& graph, const Uses& uses,
                                                              const std::string& sequence, int64_t parts) {
  std::map<int64_t, std::vector<size_t>> by_place;
  for (const Uses::Use& use : uses.consumers(sequence)) {
    if (use.input != 0 || !graph.nodes[use.node].is("SequenceAt")) return std::nullopt;
    const Tensor* place = constant_value(graph, uses, graph.nodes[use.node].input(1));
    if (!place || place->count() != 1) return std::nullopt;
    const int64_t at = place->as_ints()[0];
    if (at < -parts || at >= parts) return std::nullopt;
    by_place[at < 0 ? at + parts : at].push_back(use.node);
  }
  return by_place;
}

}  // namespace

int split_sequences(Model& model) {
  Graph& graph = model.graph;
  const int64_t opset = model.opset("");
  if (opset < 13) return 0;  // sizes were an attribute then, and sequences are younger
  const Uses uses(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    if (!node.is("SplitToSequence") || node.get_int("keepdims", 1) == 0 || node.outputs.size() != 1) continue;
    const std::string sequence = node.outputs[0];
    const auto type = graph.type_of(node.input(0));
    if (uses.is_output(sequence) || !type || !type->shape) continue;
    const auto rank = static_cast<int64_t>(type->shape->size());
    int64_t axis = node.get_int("axis", 0);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || !(*type->shape)[axis].known()) continue;
    const auto sizes = part_sizes(graph, uses, node, axis, (*type->shape)[axis].value);
    const auto by_place =
        sizes ? readers(graph, uses, sequence, static_cast<int64_t>(sizes->size())) : std::nullopt;
    if (!by_place) continue;
    const std::string counts = graph.unique_value_name(sequence + ".sizes");
    graph.add_initializer(counts, Tensor::int64s({static_cast<int64_t>(sizes->size())}, *sizes));
    node.op_type = "Split";
    node.erase("keepdims");
    node.set({"axis", axis});
    node.inputs = {node.inputs[0], counts};
    node.outputs.clear();
    for (size_t i = 0; i < sizes->size(); ++i) {
      const auto found = by_place->find(static_cast<int64_t>(i));
      const std::string part = found == by_place->end()
                                   ? graph.unique_value_name(fmt::format("{}.{}", sequence, i))
                                   : graph.nodes[found->second[0]].outputs[0];
      node.outputs.push_back(part);
      if (found == by_place->end()) continue;
      for (size_t k = 0; k < found->second.size(); ++k) {
        Node& reader = graph.nodes[found->second[k]];
        if (k == 0) {
          absorb(node, reader);
          reader.outputs.clear();  // goes below
        } else {
          reader.op_type = "Identity";
          reader.inputs = {part};
        }
      }
    }
    std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return info.name == sequence; });
    ++changes;
  }
  std::erase_if(graph.nodes, [](const Node& node) { return node.is("SequenceAt") && node.outputs.empty(); });
  return changes;
}

}  // namespace mc
