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
  find_stored();
}

// One pass in topological order, so that long chains cost no more than their length.
void RoleRules::find_stored() {
  for (const Initializer& initializer : model_.graph.initializers()) {
    if (dtype_is_float(initializer.tensor.dtype)) stored_.insert(initializer.name);
  }
  for (const Node& node : model_.graph.nodes) {
    if (node.inputs.empty() || node.outputs.size() != 1) continue;
    const auto is_stored = [&](const std::string& name) { return stored_.contains(name); };
    const bool stored = node.is("Concat") ? std::ranges::all_of(node.inputs, is_stored)
                                          : is_stored(node.inputs[0]) && (node.is("Slice") || is_view(node));
    if (stored) stored_.insert(node.outputs[0]);
  }
}

const std::vector<RoleRules::Use>& RoleRules::uses(const std::string& value) const {
  static const std::vector<Use> kNone;
  const auto found = uses_.find(value);
  return found == uses_.end() ? kNone : found->second;
}

Demand RoleRules::demand(const std::string& value, const Tensor& tensor) const {
  return demand(value, tensor, 0);
}

Demand RoleRules::demand(const Use& use, const Tensor& tensor) const {
  return demand(use, tensor, 0);
}

Demand RoleRules::demand(const std::string& value, const Tensor& tensor, int depth) const {
  Demand all;
  for (const Use& use : uses(value)) all.add(demand(use, tensor, depth));
  return all;
}

Demand RoleRules::demand(const Use& use, const Tensor& tensor, int depth) const {
  Demand found;
  const Op* known = op(*use.node);
  if (known) found.add(known->role(use.input));
  if (found.none() && trains_by_pattern(use, tensor)) found.weight = true;
  const bool passes = use.input == 0 || use.node->is("Concat");
  if (found.none() && passes && depth < kMaxViews && is_view(*use.node) && !use.node->outputs.empty()) {
    return demand(use.node->outputs[0], tensor, depth + 1);
  }
  return found;
}

bool RoleRules::is_stored_weight(const std::string& value, const Tensor& tensor, int depth) const {
  return std::ranges::any_of(uses(value), [&](const Use& use) {
    const Node& node = *use.node;
    const Op* known = op(node);
    const Role role = known ? known->role(use.input) : Role::kConstant;
    if (role == Role::kWeight || role == Role::kStatistic) return true;
    if ((node.is("Add") || node.is("Mul")) && node.inputs.size() == 2 && !tensor.dims.empty())
      return tensor.count() == channels(node.inputs[1 - use.input]);
    return use.input == 0 && depth < kMaxViews && is_view(node) && !node.is("Expand") &&
           !node.outputs.empty() && is_stored_weight(node.outputs[0], tensor, depth + 1);
  });
}

bool RoleRules::trains_by_pattern(const Use& use, const Tensor& tensor) const {
  const Node& node = *use.node;
  const size_t rank = tensor.dims.size();
  if (!node.domain.empty() || rank < 1) return false;
  if ((node.op_type == "Add" || node.op_type == "Mul") && node.inputs.size() == 2) {
    const std::string& other = node.inputs[1 - use.input];
    const bool is_per_channel = tensor.count() == channels(other);
    if (node.op_type == "Add") return is_weighted(other) && (tensor.count() > 1 || is_per_channel);
    return is_normalization(other) || (is_per_channel && is_weighted(other));
  }
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
  // Gates of a recurrent layer in another order.
  if ((node.is("Slice") || node.is("Concat")) && !node.outputs.empty())
    return stored_.contains(node.outputs[0]);
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

int64_t RoleRules::weight_channels(const Node& node, const Op& known) const {
  std::string name = node.input(1);
  bool flipped = false;
  for (const Node* view = producer(name); view && is_view(*view); view = producer(name)) {
    flipped ^= view->is("Transpose");
    name = view->input(0);
  }
  const Initializer* weight = model_.graph.initializer(name);
  if (!weight) return 0;
  const auto rank = static_cast<int64_t>(weight->tensor.dims.size());
  const int64_t axis = known.channel_axis(node, 1, rank);
  if (axis < 0 || axis >= rank || (flipped && rank != 2)) return 0;
  return weight->tensor.dims[static_cast<size_t>(flipped ? 1 - axis : axis)];
}

int64_t RoleRules::channels(const std::string& value) const {
  std::string current = value;
  for (int depth = 0; depth < kMaxViews; ++depth) {
    const Node* node = producer(root(current));
    if (!node) return 0;
    if (node->is("Add") && node->inputs.size() == 2) {  // a bias
      current = node->inputs[is_float_initializer(node->inputs[0]) ? 1 : 0];
      continue;
    }
    const Op* known = op(*node);
    return known && known->channel_axis ? weight_channels(*node, *known) : 0;
  }
  return 0;
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
