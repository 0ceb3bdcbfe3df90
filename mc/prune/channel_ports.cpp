#include <algorithm>

#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

constexpr int kMostViews = 16;  // between a layer and its weight

// The operators that a weight passes on its way, axes as they are (Transpose apart).
bool keeps_axes(const Node& node) {
  static constexpr std::string_view kNames[] = {"Identity",       "Cast",         "DequantizeLinear",
                                                "QuantizeLinear", "FakeQuantize", "LearnedFakeQuantize",
                                                "FoldedWeight"};
  return std::ranges::find(kNames, node.op_type) != std::end(kNames);
}

}  // namespace

int64_t wrap_axis(int64_t axis, int64_t rank) {
  if (axis < 0) axis += rank;
  return axis >= 0 && axis < rank ? axis : -1;
}

std::optional<std::vector<int64_t>> constant_ints(const ChannelValue* value) {
  if (!value || !value->constant) return std::nullopt;
  const DType dtype = value->constant->dtype;
  if (dtype != DType::kInt64 && dtype != DType::kInt32) return std::nullopt;
  return value->constant->as_ints();
}

std::optional<ShapeElement> find_shape_element(const ChannelGraph& graph, const std::string& value,
                                               int64_t k) {
  std::string name = value;
  for (int depth = 0; depth < kMostViews; ++depth) {
    const ChannelValue* found = graph.value(name);
    if (!found || k < 0) return std::nullopt;
    if (const auto numbers = constant_ints(found)) {
      if (k >= static_cast<int64_t>(numbers->size())) return std::nullopt;
      return ShapeElement{name, k, (*numbers)[k]};
    }
    const Node* maker = found->producer < 0 ? nullptr : &graph.model().graph.nodes[found->producer];
    if (!maker || !maker->is("Concat")) return std::nullopt;
    name.clear();
    for (const std::string& part : maker->inputs) {
      const ChannelValue* piece = graph.value(part);
      if (!piece || piece->rank() != 1 || piece->dims[0] < 0) return std::nullopt;
      if (k < piece->dims[0]) {
        name = part;
        break;
      }
      k -= piece->dims[0];
    }
  }
  return std::nullopt;
}

ChannelPorts::ChannelPorts(ChannelGraph& graph, size_t node, int64_t opset)
    : graph_(graph), node_(graph.model().graph.nodes[node]), index_(node), opset_(opset) {}

const ChannelValue* ChannelPorts::in(size_t i) const {
  const ChannelValue* value =
      i < node_.inputs.size() && !node_.inputs[i].empty() ? graph_.value(node_.inputs[i]) : nullptr;
  return value && value->ranked ? value : nullptr;
}

const ChannelValue* ChannelPorts::out(size_t i) const {
  const ChannelValue* value =
      i < node_.outputs.size() && !node_.outputs[i].empty() ? graph_.value(node_.outputs[i]) : nullptr;
  return value && value->ranked ? value : nullptr;
}

AxisId ChannelPorts::axis(const ChannelValue* value, int64_t k) {
  const int64_t at = value ? wrap_axis(k, value->rank()) : -1;
  return at < 0 ? kNoAxis : value->first + static_cast<AxisId>(at);
}

int64_t ChannelPorts::dim(const ChannelValue* value, int64_t k) {
  const int64_t at = value ? wrap_axis(k, value->rank()) : -1;
  return at < 0 ? -1 : value->dims[at];
}

std::optional<std::vector<int64_t>> ChannelPorts::ints(size_t input, std::string_view attribute) const {
  if (!attribute.empty() && node_.find(attribute)) return node_.get_ints(attribute);
  return constant_ints(in(input));
}

bool ChannelPorts::given(size_t input, std::string_view attribute) const {
  return (!attribute.empty() && node_.find(attribute)) || !node_.input(input).empty();
}

bool ChannelPorts::settable(size_t input, int64_t k) const {
  return find_shape_element(graph_, node_.input(input), k).has_value();
}

void ChannelPorts::touch(AxisId axis) {
  graph_.touched_[axis] = graph_.touch_;
}

FixReason ChannelPorts::whole(AxisId axis) const {
  for (const auto* names : {&node_.inputs, &node_.outputs}) {
    for (const std::string& name : *names) {
      const auto found = graph_.by_name_.find(name);
      if (found == graph_.by_name_.end()) continue;
      const ChannelValue& value = graph_.values_[found->second];
      const AxisId k = axis - value.first;
      if (!value.ranked || k < 0 || k >= value.rank()) continue;
      return graph_.reason({ChannelGraph::Reason::kNode, static_cast<int32_t>(index_), found->second, k});
    }
  }
  return {};
}

void ChannelPorts::same(AxisId a, AxisId b) {
  if (a == kNoAxis || b == kNoAxis) return;  // the one that exists is needed whole unless told otherwise
  touch(a);
  touch(b);
  const bool equal = graph_.classes_.size(a) == graph_.classes_.size(b) && graph_.classes_.size(a) >= 0;
  graph_.classes_.same(a, b, equal ? FixReason{} : whole(a));
}

void ChannelPorts::link(AxisId a, AxisId b, const std::function<int64_t(int64_t)>& source) {
  if (a == kNoAxis || b == kNoAxis) return;
  touch(a);
  touch(b);
  const auto usable = [&](AxisId axis) {
    return graph_.classes_.size(axis) >= 0 && graph_.classes_.size(axis) <= AxisClasses::kLongest;
  };
  graph_.classes_.link(a, b, source, usable(a) && usable(b) ? FixReason{} : whole(a));
}

void ChannelPorts::leave(AxisId axis) {
  if (axis != kNoAxis) touch(axis);
}

void ChannelPorts::inexact(AxisId axis) {
  if (axis != kNoAxis) graph_.classes_.inexact(axis, static_cast<int32_t>(index_));
}

void ChannelPorts::factor(AxisId axis) {
  if (axis == kNoAxis) return;
  touch(axis);
  FixReason reason = whole(axis);
  if (reason.what >= 0) graph_.reasons_[reason.what].kind = ChannelGraph::Reason::kFactor;
  reason.soft = true;
  graph_.classes_.fix(axis, reason);
}

void ChannelPorts::same_axes(const ChannelValue* a, const ChannelValue* b) {
  if (!a || !b || a->rank() != b->rank()) return;
  for (int64_t k = 0; k < a->rank(); ++k) same(axis(a, k), axis(b, k));
}

void ChannelPorts::broadcast(const ChannelValue* value, const ChannelValue* whole) {
  if (!value || !whole || value->rank() > whole->rank()) return;
  const int64_t shift = whole->rank() - value->rank();
  for (int64_t k = 0; k < value->rank(); ++k) {
    if (value->dims[k] == 1) {
      leave(axis(value, k));
      if (whole->dims[k + shift] == 1) leave(axis(whole, k + shift));
    } else {
      same(axis(value, k), axis(whole, k + shift));
    }
  }
}

size_t ChannelPorts::choose(size_t options, bool splits) {
  ChannelGraph::Choice& choice = graph_.choices_[index_];
  choice.options = options;
  choice.splits = splits;
  return std::min(choice.option, options == 0 ? 0 : options - 1);
}

void ChannelPorts::watch(std::vector<AxisId> axes) {
  std::erase(axes, kNoAxis);
  graph_.choices_[index_].watched = std::move(axes);
}

std::pair<const ChannelValue*, int64_t> ChannelPorts::trace(const ChannelValue* value, int64_t k) const {
  for (int views = 0; value && views < kMostViews; ++views) {
    if (value->constant) return {value, k};
    if (value->producer < 0) break;
    const Node& maker = graph_.model().graph.nodes[value->producer];
    const ChannelValue* from = graph_.value(maker.input(0));
    if (!from || !from->ranked || from->rank() != value->rank()) break;
    if (maker.is("Transpose")) {
      std::vector<int64_t> order = maker.get_ints("perm");
      if (order.empty()) {
        k = value->rank() - 1 - k;
      } else {
        k = k < static_cast<int64_t>(order.size()) ? wrap_axis(order[k], value->rank()) : -1;
        if (k < 0) break;
      }
    } else if (!keeps_axes(maker)) {
      break;
    }
    value = from;
  }
  return {nullptr, 0};
}

void ChannelPorts::use(size_t input, int64_t k, int uses) {
  const ChannelValue* value = in(input);
  const int64_t at = value ? wrap_axis(k, value->rank()) : -1;
  if (at < 0) return;
  const auto [constant, found] = trace(value, at);
  if (constant) graph_.uses_[constant->first + found] |= static_cast<uint8_t>(uses);
}

bool ChannelPorts::is_constant(size_t input) const {
  const ChannelValue* value = in(input);
  return value && trace(value, 0).first != nullptr;
}

}  // namespace mc
