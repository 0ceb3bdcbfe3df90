#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "mc/ops/infer_node.h"
#include "mc/rewrite/pass.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// Floats may come from weights, and those train.
bool says_shapes(const Tensor& value) {
  return value.dtype == DType::kInt64 || value.dtype == DType::kInt32 || value.dtype == DType::kBool;
}

bool has_subgraph(const Node& node) {
  return std::ranges::any_of(node.attributes, [](const Attribute& a) { return !a.graphs().empty(); });
}

void become_constant(Node& node, const Tensor& value) {
  node.op_type = "Constant";
  node.inputs.clear();
  node.attributes.clear();
  add_source(node, node);
  node.attributes.emplace_back("value", value);
}

bool fold_cast_like(Node& node, const std::optional<Type>& type) {
  if (!type || !type->is_tensor() || type->dtype == DType::kUndefined) return false;
  node.op_type = "Cast";
  node.inputs.resize(1);
  node.set({"to", static_cast<int64_t>(type->dtype)});
  return true;
}

}  // namespace

int fold_types(Model& model) {
  std::unordered_set<std::string> outputs;
  for (const ValueInfo& output : model.graph.outputs) outputs.insert(output.name);
  const std::unordered_map<std::string, Tensor> values = known_values(model);
  int changes = 0;
  for (Node& node : model.graph.nodes) {
    if (node.is("CastLike")) {
      changes += fold_cast_like(node, model.graph.type_of(node.input(1))) ? 1 : 0;
    } else if (node.domain.empty() && !node.is("Constant") && node.outputs.size() == 1 &&
               !has_subgraph(node)) {
      const auto value = values.find(node.outputs[0]);
      if (value == values.end() || outputs.contains(value->first) || !says_shapes(value->second)) continue;
      become_constant(node, value->second);
      ++changes;
    }
  }
  return changes;
}

}  // namespace mc
