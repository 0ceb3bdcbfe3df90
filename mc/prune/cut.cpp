#include "mc/prune/cut.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/graph_module.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"
#include "mc/prune/channel_partition.h"
#include "mc/prune/channel_rules.h"

namespace mc {

int64_t kept_size(const ChannelGraph& graph, const std::vector<bool>& removed, AxisId axis) {
  const AxisClasses& classes = graph.classes();
  const int64_t size = classes.size(axis);
  if (size < 0 || classes.wholly_fixed(axis)) return size < 0 ? -1 : size;
  int64_t kept = 0;
  for (int64_t i = 0; i < size; ++i) kept += removed[classes.element(axis, i)] ? 0 : 1;
  return kept;
}

std::string CutModel::new_value_name(const std::string& wanted) const {
  std::string name = model.graph.unique_value_name(wanted);
  const auto taken = [&] {
    return std::ranges::any_of(added, [&](const Node& node) { return node.outputs[0] == name; });
  };
  for (int number = 2; taken(); ++number)
    name = model.graph.unique_value_name(fmt::format("{}_{}", wanted, number));
  return name;
}

namespace {

// The groups that the cuts name, checked.
std::vector<const PartitionGroup*> resolve_cuts(const std::vector<PartitionGroup>& groups,
                                                const std::vector<ChannelCut>& cuts) {
  std::vector<std::string> names;
  for (const PartitionGroup& group : groups) names.push_back(group.shown.name);
  std::vector<const PartitionGroup*> chosen;
  std::set<std::string> seen;
  for (const ChannelCut& cut : cuts) {
    const auto found = std::ranges::find(names, cut.group);
    MC_CHECK(found != names.end(), "there is no group of channels '{}'{}", cut.group,
             did_you_mean(cut.group, names));
    const PartitionGroup& group = groups[static_cast<size_t>(found - names.begin())];
    MC_CHECK(seen.insert(cut.group).second, "group '{}' is cut twice; name all its channels at once",
             cut.group);
    MC_CHECK(group.shown.obstacle.empty() || cut.channels.empty(), "group '{}' cannot be cut: {}", cut.group,
             group.shown.obstacle);
    std::set<int64_t> channels;
    for (const int64_t channel : cut.channels) {
      MC_CHECK(channel >= 0 && channel < group.shown.channels, "group '{}' has {} channels; there is no {}",
               cut.group, group.shown.channels, channel);
      MC_CHECK(channels.insert(channel).second, "channel {} of group '{}' is named twice", channel,
               cut.group);
    }
    MC_CHECK(channels.empty() || static_cast<int64_t>(channels.size()) < group.shown.channels,
             "group '{}' would be left without a channel; at least one of its {} must stay", cut.group,
             group.shown.channels);
    chosen.push_back(&group);
  }
  return chosen;
}

std::vector<bool> removed_elements(const ChannelGraph& graph,
                                   const std::vector<const PartitionGroup*>& groups,
                                   const std::vector<ChannelCut>& cuts) {
  std::vector<bool> removed(static_cast<size_t>(graph.classes().element_count()), false);
  for (size_t i = 0; i < cuts.size(); ++i) {
    for (const int64_t channel : cuts[i].channels) removed[groups[i]->elements[channel]] = true;
  }
  return removed;
}

// The indices of an axis that stay; nullopt where all do.
std::optional<std::vector<int64_t>> kept_indices(const ChannelGraph& graph, const std::vector<bool>& removed,
                                                 AxisId axis) {
  const int64_t size = graph.classes().size(axis);
  if (kept_size(graph, removed, axis) == size) return std::nullopt;
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < size; ++i) {
    if (!removed[graph.classes().element(axis, i)]) kept.push_back(i);
  }
  return kept;
}

void cut_type(const ChannelGraph& graph, const std::vector<bool>& removed, ValueInfo& info) {
  const ChannelValue* value = graph.value(info.name);
  if (!value || !value->ranked || !info.type.is_tensor() || !info.type.shape ||
      static_cast<int64_t>(info.type.shape->size()) != value->rank())
    return;
  for (int64_t k = 0; k < value->rank(); ++k) {
    Dim& dim = (*info.type.shape)[k];
    const int64_t size = kept_size(graph, removed, value->first + static_cast<AxisId>(k));
    if (dim.known() && size >= 0) dim.value = size;
  }
}

Tensor sliced_tensor(const Tensor& tensor, const std::vector<Slice>& slices) {
  Tensor result = to_constant(apply_slices(to_aten(tensor, false), slices));
  result.metadata = tensor.metadata;
  result.doc = tensor.doc;
  return result;
}

void cut_constants(const ChannelGraph& graph, const std::vector<bool>& removed, Edit& edit) {
  for (const ChannelValue& value : graph.values()) {
    if (!value.constant) continue;
    std::vector<Slice> slices;
    for (int64_t k = 0; k < value.rank(); ++k) {
      if (auto kept = kept_indices(graph, removed, value.first + static_cast<AxisId>(k)))
        slices.push_back({k, std::move(*kept)});
    }
    if (value.initializer) {
      for (const Slice& slice : slices) edit.slice(value.name, slice.axis, slice.indices);
    } else if (!slices.empty()) {
      edit.model.graph.nodes[value.producer].set({"value", sliced_tensor(*value.constant, slices)});
    }
  }
}

// Shapes that inference finds in the cut model must be those that the graph of channels predicts: a rule that
// forgets something ends here and not in an engine.
void check_shapes(const ChannelGraph& graph, const std::vector<bool>& removed, const Model& cut) {
  Model inferred = cut;
  inferred.graph.value_infos.clear();
  infer_shapes(inferred);
  for (const auto* infos : {&inferred.graph.value_infos, &inferred.graph.outputs}) {
    for (const ValueInfo& info : *infos) {
      const ChannelValue* value = graph.value(info.name);
      if (!value || !value->ranked || !info.type.shape) continue;
      const Shape& shape = *info.type.shape;
      bool fits = static_cast<int64_t>(shape.size()) == value->rank();
      for (int64_t k = 0; fits && k < value->rank(); ++k) {
        const int64_t size = kept_size(graph, removed, value->first + static_cast<AxisId>(k));
        fits = size < 0 || !shape[k].known() || shape[k].value == size;
      }
      MC_CHECK(fits, "the cut does not fit together: value '{}' would be {}", info.name,
               to_string(info.type));
    }
  }
}

void cut_model(Edit& edit, const std::vector<ChannelCut>& cuts) {
  const Model prepared = ChannelGraph::prepare(edit.model);
  const ChannelGraph graph(prepared);
  const std::vector<PartitionGroup> groups = partition_channels(graph);
  const std::vector<bool> removed = removed_elements(graph, resolve_cuts(groups, cuts), cuts);
  if (std::ranges::find(removed, true) == removed.end()) return;

  Model& model = edit.model;
  const std::vector<ValueInfo> declared = model.graph.value_infos;  // not what inference says of them
  model = prepared;
  model.graph.value_infos = declared;
  cut_constants(graph, removed, edit);
  CutModel cut{model, {}};
  for (Node& node : model.graph.nodes) {
    const ChannelRule* rule = find_channel_rule(node.domain, node.op_type);
    if (!rule || !rule->rewrite) continue;
    with_context([&] { return node.label(); },
                 [&] {
                   CutNode part(graph, removed, cut, node, model.opset(node.domain));
                   rule->rewrite(part);
                 });
  }
  for (Node& node : cut.added) model.graph.nodes.push_back(std::move(node));
  if (!cut.added.empty()) model.graph.sort();
  for (auto* infos : {&model.graph.inputs, &model.graph.outputs, &model.graph.value_infos}) {
    for (ValueInfo& info : *infos) cut_type(graph, removed, info);
  }
  model.graph.drop_unused();  // shapes that stand in constants now, and constants that others replaced
  check_shapes(graph, removed, model);
}

}  // namespace

Model cut_channels(const Model& model, const std::vector<ChannelCut>& cuts) {
  Model result = model;
  Edit edit{result, {}, {}};
  cut_model(edit, cuts);
  return result;
}

EditReport cut_channels(GraphModule& module, const std::vector<ChannelCut>& cuts) {
  return module.edit([&](Edit& edit) { cut_model(edit, cuts); });
}

Model mask_channels(const Model& model, const std::vector<ChannelCut>& cuts) {
  const Model prepared = ChannelGraph::prepare(model);
  const ChannelGraph graph(prepared);
  const std::vector<PartitionGroup> groups = partition_channels(graph);
  const std::vector<const PartitionGroup*> chosen = resolve_cuts(groups, cuts);
  Model result = model;
  const at::NoGradGuard no_grad;
  std::unordered_map<std::string, at::Tensor> masked;
  for (size_t i = 0; i < cuts.size(); ++i) {
    for (const ChannelMember& member : chosen[i]->shown.members) {
      const Initializer* initializer = result.graph.initializer(member.initializer);
      if (!member.maskable || !initializer || !dtype_is_float(initializer->tensor.dtype)) continue;
      std::vector<int64_t> indices;
      for (const int64_t channel : cuts[i].channels) {
        const auto& positions = member.positions[channel];
        indices.insert(indices.end(), positions.begin(), positions.end());
      }
      if (indices.empty()) continue;
      at::Tensor& tensor = masked[member.initializer];
      if (!tensor.defined()) tensor = to_aten(initializer->tensor, false).clone();
      tensor.index_fill_(member.axis, at::tensor(indices, at::kLong), 0);
    }
  }
  for (auto& [name, tensor] : masked) {
    Initializer* initializer = result.graph.initializer(name);
    Tensor value = to_constant(tensor);
    value.metadata = initializer->tensor.metadata;
    value.doc = initializer->tensor.doc;
    initializer->tensor = std::move(value);
  }
  return result;
}

}  // namespace mc
