#include <unordered_set>

#include "mc/module/role_rules.h"
#include "mc/module/state.h"

namespace mc {
namespace {

// Single numbers are no weights: PyTorch fills missing biases from one zero by Expand.
// A bias is known by the layer in front of it, whose weight must be an initializer by then: hence rounds.
int lift_round(Model& model) {
  std::vector<std::pair<std::string, Tensor>> weights;
  std::unordered_set<std::string> names;
  const RoleRules rules(model);
  for (const Node& node : model.graph.nodes) {
    if (!node.is("Constant") || node.outputs.size() != 1 || find_metadata(node.metadata, kSources)) continue;
    const Tensor* value = node.get_tensor("value");
    if (!value || value->dims.empty() || !dtype_is_float(value->dtype) ||
        !rules.is_stored_weight(node.outputs[0], *value))
      continue;
    weights.emplace_back(node.outputs[0], *value);
    names.insert(node.outputs[0]);
  }
  std::erase_if(model.graph.nodes, [&](const Node& node) {
    return node.is("Constant") && node.outputs.size() == 1 && names.contains(node.outputs[0]);
  });
  for (auto& [name, tensor] : weights) model.graph.add_initializer(name, std::move(tensor));
  return static_cast<int>(weights.size());
}

}  // namespace

int lift_constants(Model& model) {
  int lifted = 0;
  while (const int more = lift_round(model)) lifted += more;
  return lifted;
}

}  // namespace mc
