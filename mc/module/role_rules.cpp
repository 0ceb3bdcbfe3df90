#include "mc/module/role_rules.h"

#include <algorithm>

namespace mc {
namespace {

constexpr int kMaxViews = 64;  // views on views, Adds on Adds: more is no model that anybody trains

bool any_of_names(const std::string& name, std::initializer_list<const char*> names) {
  return std::ranges::any_of(names, [&](const char* other) { return name == other; });
}

}  // namespace

void Demand::add(Role role) {
  weight |= role == Role::kWeight;
  statistic |= role == Role::kStatistic;
  state |= role == Role::kState;
}

void Demand::add(const Demand& other) {
  weight |= other.weight;
  statistic |= other.statistic;
  state |= other.state;
}

Role Demand::role(bool is_float) const {
  if (state) return Role::kState;
  if (weight && is_float) return Role::kWeight;
  if (statistic && is_float) return Role::kStatistic;
  return Role::kConstant;
}

RoleRules::RoleRules(const Model& model) : model_(model) {
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Node& node : graph.nodes) {
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (!node.inputs[i].empty()) uses_[node.inputs[i]].push_back({&node, i, &graph != &model.graph});
      }
      for (const std::string& output : node.outputs) producers_.emplace(output, &node);
    }
  });
}

const std::vector<RoleRules::Use>& RoleRules::uses(const std::string& value) const {
  static const std::vector<Use> kNone;
  const auto found = uses_.find(value);
  return found == uses_.end() ? kNone : found->second;
}

Demand RoleRules::demand(const std::string& value, int64_t rank) const {
  return demand(value, rank, 0);
}

Demand RoleRules::demand(const Use& use, int64_t rank) const {
  return demand(use, rank, 0);
}

Demand RoleRules::demand(const std::string& value, int64_t rank, int depth) const {
  Demand all;
  for (const Use& use : uses(value)) all.add(demand(use, rank, depth));
  return all;
}

Demand RoleRules::demand(const Use& use, int64_t rank, int depth) const {
  Demand found;
  const Op* known = op(*use.node);
  if (known) found.add(known->role(use.input));
  if (found.none() && trains_by_pattern(use, rank)) found.weight = true;
  if (found.none() && use.input == 0 && depth < kMaxViews && is_view(*use.node) &&
      !use.node->outputs.empty()) {
    return demand(use.node->outputs[0], rank, depth + 1);
  }
  return found;
}

bool RoleRules::trains_by_pattern(const Use& use, int64_t rank) const {
  const Node& node = *use.node;
  if (!node.domain.empty() || rank < 1) return false;
  if (node.op_type == "Add" && node.inputs.size() == 2) return is_weighted(node.inputs[1 - use.input]);
  if (node.op_type == "Mul" && node.inputs.size() == 2) return is_normalization(node.inputs[1 - use.input]);
  if (node.op_type == "Concat" && (rank == 2 || rank == 3)) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (i != use.input && is_weighted(node.inputs[i])) return true;
    }
  }
  return false;
}

const Op* RoleRules::op(const Node& node) const {
  return find_op(node.domain, node.op_type, model_.opset(node.domain));
}

const Node* RoleRules::producer(const std::string& value) const {
  const auto found = producers_.find(value);
  return found == producers_.end() ? nullptr : found->second;
}

bool RoleRules::is_view(const Node& node) const {
  const Op* known = op(node);
  return node.is("Expand") || (known && known->passes_roles);
}

std::string RoleRules::root(const std::string& value) const {
  std::string current = value;
  for (int depth = 0; depth < kMaxViews; ++depth) {
    const Node* node = producer(current);
    if (!node || !is_view(*node)) break;
    current = node->input(0);
  }
  return current;
}

bool RoleRules::is_float_initializer(const std::string& value) const {
  const Initializer* initializer = model_.graph.initializer(root(value));
  return initializer && dtype_is_float(initializer->tensor.dtype);
}

bool RoleRules::is_weighted(const std::string& value, int depth) const {
  const Node* node = producer(root(value));
  if (!node || depth > kMaxViews) return false;
  const Op* known = op(*node);
  if (!known) return false;
  const bool layer = known->quant == QuantPart::kCompute ||
                     any_of_names(node->op_type, {"Gather", "Einsum", "LSTM", "GRU", "RNN"});
  for (size_t i = 0; layer && i < node->inputs.size(); ++i) {
    if (known->role(i) == Role::kWeight && is_float_initializer(node->inputs[i])) return true;
  }
  if (node->is("Dropout")) return is_weighted(node->input(0), depth + 1);
  if (node->is("Concat")) {
    return std::ranges::any_of(node->inputs,
                               [&](const auto& input) { return is_weighted(input, depth + 1); });
  }
  if (node->is("Add") || node->is("Mul")) {
    for (size_t i = 0; i < 2; ++i) {
      if (!is_float_initializer(node->input(i))) continue;
      const std::string other = node->input(1 - i);
      return node->is("Add") ? is_weighted(other, depth + 1) : is_normalization(other);
    }
  }
  return false;
}

bool RoleRules::is_normalization(const std::string& value) const {
  const Node* node = producer(root(value));
  if (!node) return false;
  if (any_of_names(node->op_type, {"InstanceNormalization", "LayerNormalization", "GroupNormalization",
                                   "RMSNormalization", "MeanVarianceNormalization"})) {
    return true;
  }
  if (node->is("Div")) return is_deviation(node->input(1));
  if (!node->is("Mul")) return false;
  return std::ranges::any_of(node->inputs, [&](const std::string& input) {
    const Node* factor = producer(root(input));
    if (!factor) return false;
    return (factor->is("Reciprocal") && is_deviation(factor->input(0))) ||
           (factor->is("Div") && !producer(factor->input(0)) && is_deviation(factor->input(1)));
  });
}

// sqrt(mean of something [+ epsilon]), as Sqrt or as Pow.
bool RoleRules::is_deviation(const std::string& value) const {
  const Node* node = producer(root(value));
  if (!node || !(node->is("Sqrt") || node->is("Pow"))) return false;
  const Node* inner = producer(root(node->input(0)));
  if (inner && inner->is("Add")) {
    const Node* first = producer(root(inner->input(0)));
    inner = first && first->is("ReduceMean") ? first : producer(root(inner->input(1)));
  }
  return inner && inner->is("ReduceMean");
}

}  // namespace mc
