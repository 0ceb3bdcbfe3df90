#include <algorithm>
#include <set>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/role_rules.h"
#include "mc/module/state.h"

namespace mc {
namespace {

// Types that autograd and optimizers handle; float8 and float4 are storage only.
bool trains(const Initializer& initializer) {
  const DType type = initializer.tensor.dtype;
  return !initializer.sparse && (type == DType::kFloat || type == DType::kDouble || type == DType::kFloat16 ||
                                 type == DType::kBFloat16);
}

bool is_identity_copy(const RoleRules::Use& use) {
  return use.node->is("Identity") && use.input == 0 && !use.nested && use.node->outputs.size() == 1;
}

const char* word(const Demand& demand) {
  return role_name(demand.role(true));
}

// Makes an initializer of its own of every Identity copy that must not share: one with another role, or
// one of several with the same. One round: copies of copies come in the next.
bool untie_copies(Model& model, Roles& roles) {
  const RoleRules rules(model);
  const Uses outputs(model.graph);
  std::set<std::string> gone;  // outputs of the Identity nodes that became initializers
  std::vector<std::pair<std::string, Tensor>> fresh;
  for (const Initializer& initializer : model.graph.initializers()) {
    if (!trains(initializer)) continue;
    const Tensor& tensor = initializer.tensor;
    std::vector<const Node*> copies;
    Demand direct;
    bool read_directly = outputs.is_output(initializer.name);
    for (const RoleRules::Use& use : rules.uses(initializer.name)) {
      if (is_identity_copy(use)) {
        copies.push_back(use.node);
      } else {
        read_directly = true;
        direct.add(rules.demand(use, tensor));
      }
    }
    if (copies.empty()) continue;
    size_t first = 0;
    if (!read_directly) direct = rules.demand(copies[first++]->outputs[0], tensor);
    for (size_t i = first; i < copies.size(); ++i) {
      const std::string& copy = copies[i]->outputs[0];
      const Demand demand = rules.demand(copy, tensor);
      if (demand.none() && direct.none()) continue;
      const std::string why =
          demand == direct ? fmt::format("both are a {}, equal when the file was written", word(demand))
                           : fmt::format("one is a {}, the other a {}", word(demand), word(direct));
      roles.untied.push_back({copy, initializer.name, why});
      fresh.emplace_back(copy, initializer.tensor);
      gone.insert(copy);
    }
  }
  std::erase_if(model.graph.nodes, [&](const Node& node) {
    return node.is("Identity") && node.outputs.size() == 1 && gone.contains(node.outputs[0]);
  });
  std::erase_if(model.graph.value_infos, [&](const ValueInfo& info) { return gone.contains(info.name); });
  for (auto& [name, tensor] : fresh) model.graph.add_initializer(name, std::move(tensor));
  return !gone.empty();
}

// One initializer that a weight port and a statistic port read directly becomes two.
void untie_ports(Model& model, Roles& roles) {
  const RoleRules rules(model);
  std::vector<std::string> names;
  for (const Initializer& i : model.graph.initializers()) names.push_back(i.name);
  for (const std::string& name : names) {
    const Initializer& initializer = *model.graph.initializer(name);
    const Tensor& tensor = initializer.tensor;
    const Demand all = rules.demand(name, tensor);
    if (!all.weight || !all.statistic || !trains(initializer)) continue;
    const std::string copy = model.graph.unique_value_name(name + ".statistic");
    for (Node& node : model.graph.nodes) {
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] == name && rules.demand({&node, i, false}, tensor).statistic)
          node.inputs[i] = copy;
      }
    }
    roles.untied.push_back({copy, name, "one is a statistic, the other a weight"});
    model.graph.add_initializer(copy, Tensor(initializer.tensor));
  }
}

Role role_from_name(const std::string& name, const std::string& initializer) {
  std::vector<std::string> names;
  for (const Role role : {Role::kConstant, Role::kWeight, Role::kStatistic, Role::kState, Role::kMask}) {
    if (role_name(role) == name) return role;
    names.emplace_back(role_name(role));
  }
  fail("initializer '{}' has the role '{}' in its metadata ({}); roles are {}", initializer, name, kRole,
       join(names, ", "));
}

std::optional<Role> overridden(const std::string& name,
                               const std::vector<std::pair<std::string, Role>>& overrides) {
  std::optional<Role> role;
  for (const auto& [pattern, value] : overrides) {
    if (glob_match(pattern, name)) role = value;
  }
  return role;
}

Role role_of(const Initializer& initializer, const RoleRules& rules,
             const std::vector<std::pair<std::string, Role>>& overrides) {
  const Metadata& metadata = initializer.tensor.metadata;
  if (find_metadata(metadata, kMaskOf)) return Role::kMask;
  std::optional<Role> asked = overridden(initializer.name, overrides);
  if (!asked) {
    if (const std::string* written = find_metadata(metadata, kRole))
      asked = role_from_name(*written, initializer.name);
  }
  // Sub-byte codes and strings have no tensor that state could be: zero points of int4 stay constants.
  if (!asked && dtype_bits(initializer.tensor.dtype) < 8) return Role::kConstant;
  if (!asked) return rules.demand(initializer.name, initializer.tensor).role(trains(initializer));
  MC_CHECK(*asked != Role::kWeight || trains(initializer),
           "initializer '{}' holds {} and cannot be a weight; only dense floats train", initializer.name,
           dtype_name(initializer.tensor.dtype));
  return *asked;
}

}  // namespace

Roles assign_roles(Model& model, const std::vector<std::pair<std::string, Role>>& overrides) {
  Roles roles;
  lift_constants(model);
  while (untie_copies(model, roles)) {
  }
  untie_ports(model, roles);
  const RoleRules rules(model);
  for (const Initializer& initializer : model.graph.initializers()) {
    roles.of[initializer.name] = role_of(initializer, rules, overrides);
  }
  return roles;
}

}  // namespace mc
