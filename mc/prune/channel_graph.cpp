#include "mc/prune/channel_graph.h"

#include <algorithm>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "mc/ops/infer_node.h"
#include "mc/prune/channel_rules.h"
#include "mc/prune/split_sequences.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr int kMaxRounds = 8;  // of choices; each costs one pass over the nodes

using Symbols = std::unordered_map<std::string, int64_t>;

std::vector<int64_t> numbers(const Shape& shape, Symbols& symbols) {
  std::vector<int64_t> dims;
  for (const Dim& dim : shape) {
    if (dim.known() || dim.symbol.empty()) {
      dims.push_back(dim.known() ? dim.value : -1);
    } else {
      dims.push_back(
          symbols.try_emplace(dim.symbol, -2 - static_cast<int64_t>(symbols.size())).first->second);
    }
  }
  return dims;
}

// Numbers that stand in a Constant node's other attributes become its tensor, which can be cut.
void unify_constant(Node& node) {
  if (!node.is("Constant") || node.find("value")) return;
  std::optional<Tensor> tensor;
  if (node.find("value_ints")) {
    const std::vector<int64_t> ints = node.get_ints("value_ints");
    tensor = Tensor::int64s({static_cast<int64_t>(ints.size())}, ints);
  } else if (node.find("value_int")) {
    const int64_t number = node.get_int("value_int", 0);
    tensor = Tensor::int64s({}, std::span(&number, 1));
  } else if (node.find("value_floats")) {
    const std::vector<float> floats = node.get_floats("value_floats");
    tensor = Tensor::floats({static_cast<int64_t>(floats.size())}, floats);
  }
  if (!tensor) return;
  node.attributes.clear();
  node.set({"value", *tensor});
}

}  // namespace

Model ChannelGraph::prepare(Model model) {
  infer_named_shapes(model);
  fold_types(model);
  for (Node& node : model.graph.nodes) unify_constant(node);
  if (split_sequences(model) > 0) infer_named_shapes(model);
  return model;
}

ChannelGraph::ChannelGraph(const Model& prepared) : model_(prepared) {
  add_values();
  uses_.assign(classes_.count(), 0);
  first_use_.assign(classes_.count(), -1);
  touched_.assign(classes_.count(), 0);
  for (int round = 0; round < kMaxRounds; ++round) {
    join_nodes();
    classes_.solve();
    if (!improve_choices()) break;
  }
}

const ChannelValue* ChannelGraph::value(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &values_[found->second];
}

int32_t ChannelGraph::add_value(const std::string& name, const std::vector<int64_t>* dims) {
  const auto [entry, is_new] = by_name_.try_emplace(name, static_cast<int32_t>(values_.size()));
  if (is_new) values_.emplace_back().name = name;
  ChannelValue& value = values_[entry->second];
  if (!dims || value.ranked) return entry->second;
  value.dims = *dims;
  value.ranked = true;
  value.first = static_cast<AxisId>(classes_.count());
  for (const int64_t dim : value.dims) classes_.add(dim);
  return entry->second;
}

void ChannelGraph::add_values() {
  const Graph& graph = model_.graph;
  Symbols symbols;
  for (const Initializer& initializer : graph.initializers()) {
    const int32_t at = add_value(initializer.name, initializer.sparse ? nullptr : &initializer.tensor.dims);
    values_[at].initializer = !initializer.sparse;
    if (!initializer.sparse) values_[at].constant = &initializer.tensor;
  }
  for (const auto* infos : {&graph.inputs, &graph.outputs, &graph.value_infos}) {
    for (const ValueInfo& info : *infos) {
      if (!info.type.is_tensor() || !info.type.shape) continue;
      const std::vector<int64_t> dims = numbers(*info.type.shape, symbols);
      add_value(info.name, &dims);
    }
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    for (const std::string& name : node.inputs) {
      if (!name.empty()) add_value(name, nullptr);
    }
    for (const std::string& name : node.outputs) {
      if (!name.empty()) values_[add_value(name, nullptr)].producer = static_cast<int32_t>(i);
    }
    const Tensor* tensor = node.is("Constant") ? node.get_tensor("value") : nullptr;
    if (tensor && !node.outputs.empty()) values_[add_value(node.outputs[0], &tensor->dims)].constant = tensor;
  }
}

FixReason ChannelGraph::reason(Reason reason) {
  const bool soft = reason.kind == Reason::kFactor;
  reasons_.push_back(reason);
  return {soft, static_cast<int32_t>(reasons_.size()) - 1};
}

void ChannelGraph::fix_value(const std::string& name, Reason from) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return;
  from.value = found->second;
  const ChannelValue& value = values_[found->second];
  for (int64_t k = 0; k < value.rank(); ++k) {
    from.axis = static_cast<int32_t>(k);
    classes_.fix(value.first + static_cast<AxisId>(k), reason(from));
  }
}

void ChannelGraph::join_nodes() {
  classes_.forget_relations();
  reasons_.clear();
  for (const ValueInfo& input : model_.graph.inputs) {
    if (!model_.graph.initializer(input.name)) fix_value(input.name, {Reason::kInput});
  }
  for (const ValueInfo& output : model_.graph.outputs) fix_value(output.name, {Reason::kOutput});
  for (size_t i = 0; i < model_.graph.nodes.size(); ++i) join_node(i);
}

void ChannelGraph::join_node(size_t index) {
  const Node& node = model_.graph.nodes[index];
  ++touch_;
  for (const std::string& name : node.inputs) {
    const ChannelValue* value = name.empty() ? nullptr : this->value(name);
    if (!value || !value->constant || value->rank() == 0 || first_use_[value->first] >= 0) continue;
    for (int64_t k = 0; k < value->rank(); ++k) first_use_[value->first + k] = next_use_;
    ++next_use_;
  }
  if (const ChannelRule* rule = find_channel_rule(node.domain, node.op_type)) {
    ChannelPorts ports(*this, index, model_.opset(node.domain));
    rule->join(ports);
  }
  const Reason whole{Reason::kNode, static_cast<int32_t>(index), -1, -1};
  const auto fix_rest = [&](const std::string& name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    const ChannelValue& value = values_[found->second];
    for (int64_t k = 0; k < value.rank(); ++k) {
      const AxisId axis = value.first + static_cast<AxisId>(k);
      if (touched_[axis] == touch_) continue;
      classes_.fix(axis, reason({whole.kind, whole.node, found->second, static_cast<int32_t>(k)}));
    }
  };
  for (const std::string& name : reads(node)) fix_rest(name);
  for (const std::string& name : node.outputs) fix_rest(name);
}

// Moves choices whose channels the network forbids to their next option; where none is forbidden outright but
// some are by each other's choices, those that split.
bool ChannelGraph::improve_choices() {
  std::vector<Choice*> hard, soft;
  for (auto& [node, choice] : choices_) {
    if (choice.options < 2 || choice.watched.empty() || choice.moves + 1 >= choice.options) continue;
    bool dead = true, any_hard = false;
    for (const AxisId axis : choice.watched) {
      dead = dead && classes_.wholly_fixed(axis);
      if (dead) any_hard = any_hard || !classes_.reason(axis, 0).soft;
    }
    if (!dead) continue;
    if (any_hard) hard.push_back(&choice);
    if (!any_hard && choice.splits) soft.push_back(&choice);
  }
  const std::vector<Choice*>& moved = hard.empty() ? soft : hard;
  for (Choice* choice : moved) {
    choice->option = (choice->option + 1) % choice->options;
    ++choice->moves;
  }
  return !moved.empty();
}

std::string ChannelGraph::describe(FixReason reason) const {
  if (reason.what < 0) return "it has one channel only, or nobody knows how many";
  const Reason& found = reasons_[reason.what];
  const std::string value = found.value < 0 ? "" : values_[found.value].name;
  switch (found.kind) {
    case Reason::kInput:
      return fmt::format("'{}' is an input of the model", value);
    case Reason::kOutput:
      return fmt::format("'{}' is an output of the model", value);
    case Reason::kFactor:
      return fmt::format("{} folds axis {} of '{}' into another", model_.graph.nodes[found.node].label(),
                         found.axis, value);
    case Reason::kNode:
      break;
  }
  return fmt::format("{} needs all of axis {} of '{}'", model_.graph.nodes[found.node].label(), found.axis,
                     value);
}

std::string ChannelGraph::describe_inexact(int32_t node) const {
  return fmt::format("{} computes over the channels", model_.graph.nodes[node].label());
}

}  // namespace mc
