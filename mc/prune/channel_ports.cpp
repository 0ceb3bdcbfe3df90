#include <algorithm>

#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

constexpr int kMostViews = 16;   // between a layer and its weight
constexpr int kMostSteps = 200;  // between a shape and where its numbers come from

// The operators that a weight passes on its way, axes as they are (Transpose apart).
bool keeps_axes(const Node& node) {
  static constexpr std::string_view kNames[] = {"Identity",       "Cast",         "DequantizeLinear",
                                                "QuantizeLinear", "FakeQuantize", "LearnedFakeQuantize",
                                                "FoldedWeight",   "Slice",        "Split"};
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

namespace {

std::optional<ShapeElement> find_element(const ChannelGraph& graph, const std::string& value, int64_t k,
                                         int& steps);

// Walks from an element of a vector back to where it comes from; `direct`: only concatenations in between, so
// that a copy of the constant can take its place.
struct ElementWalk {
  const ChannelGraph& graph;
  const ChannelValue* value;
  int64_t k;
  int& steps;  // left, of all walks that this one needs
  bool direct = true;

  const Node* maker() const {
    return value->producer < 0 ? nullptr : &graph.model().graph.nodes[value->producer];
  }
  bool to(const std::string& name) {
    value = graph.value(name);
    return value != nullptr;
  }
  bool through_concat(const Node& node) {
    for (const std::string& part : node.inputs) {
      const ChannelValue* piece = graph.value(part);
      if (!piece || piece->rank() != 1 || piece->dims[0] < 0) return false;
      if (k < piece->dims[0]) return to(part);
      k -= piece->dims[0];
    }
    return false;
  }
  bool through_slice(const Node& node) {
    const auto starts = constant_ints(graph.value(node.input(1)));
    const auto steps = constant_ints(graph.value(node.input(4)));
    const ChannelValue* from = graph.value(node.input(0));
    const bool plain = starts && starts->size() == 1 && from && from->rank() == 1 && from->dims[0] >= 0 &&
                       (node.input(4).empty() || (steps && *steps == std::vector<int64_t>{1}));
    if (!plain) return false;
    const int64_t start = (*starts)[0] < 0 ? (*starts)[0] + from->dims[0] : (*starts)[0];
    k += std::clamp<int64_t>(start, 0, from->dims[0]);
    return to(node.input(0));
  }
  bool through_gather(const Node& node) {
    const auto indices = constant_ints(graph.value(node.input(1)));
    const ChannelValue* from = graph.value(node.input(0));
    if (!indices || !from || from->rank() != 1 || k >= static_cast<int64_t>(indices->size())) return false;
    k = wrap_axis((*indices)[k], from->dims[0]);
    return k >= 0 && to(node.input(0));
  }
  // Where(Equal(a, b), x, y), as exporters write "-1 keeps the dim".
  bool through_where(const Node& node) {
    const ChannelValue* condition = graph.value(node.input(0));
    if (!condition || condition->producer < 0) return false;
    const Node& equal = graph.model().graph.nodes[condition->producer];
    if (!equal.is("Equal")) return false;
    const auto a = find_element(graph, equal.input(0), k, steps),
               b = find_element(graph, equal.input(1), k, steps);
    if (!a || !b) return false;
    const bool dims = a->of || b->of;
    if (dims && !(!a->of && a->number < 0) && !(!b->of && b->number < 0)) return false;
    return to(node.input(!dims && a->number == b->number ? 1 : 2));
  }
  // One step back; false at the end.
  bool step() {
    const Node* node = maker();
    if (!node || !node->domain.empty()) return false;
    if (node->op_type == "Concat") return through_concat(*node);
    direct = false;
    if (node->op_type == "Slice" && node->inputs.size() > 1) return through_slice(*node);
    if (node->op_type == "Gather") return through_gather(*node);
    if (node->op_type == "Where") return through_where(*node);
    static constexpr std::string_view kSame[] = {"Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape"};
    return std::ranges::find(kSame, node->op_type) != std::end(kSame) && to(node->input(0));
  }
};

std::optional<ShapeElement> find_element(const ChannelGraph& graph, const std::string& value, int64_t k,
                                         int& steps) {
  ElementWalk walk{graph, graph.value(value), k, steps};
  while (walk.value && walk.k >= 0 && --steps > 0) {
    if (const auto numbers = constant_ints(walk.value)) {
      if (walk.k >= static_cast<int64_t>(numbers->size())) return std::nullopt;
      const int64_t number = (*numbers)[walk.k];
      if (number > 1 && !walk.direct) return std::nullopt;
      return ShapeElement{number, nullptr, 0};
    }
    const Node* node = walk.maker();
    if (node && node->is("Shape")) {
      const ChannelValue* of = graph.value(node->input(0));
      const int64_t start = of ? node->get_int("start", 0) : 0;
      const int64_t dim = walk.k + (start < 0 && of ? start + of->rank() : start);
      if (!of || !of->ranked || dim < 0 || dim >= of->rank()) return std::nullopt;
      return ShapeElement{0, of, dim};
    }
    if (!walk.step()) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ShapeElement> find_shape_element(const ChannelGraph& graph, const std::string& value,
                                               int64_t k) {
  int steps = kMostSteps;
  return find_element(graph, value, k, steps);
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

std::optional<int64_t> ChannelPorts::number(size_t input, int64_t k) const {
  const auto element = find_shape_element(graph_, node_.input(input), k);
  return element && !element->of ? std::optional(element->number) : std::nullopt;
}

bool ChannelPorts::follows(size_t input, int64_t k, AxisId axis) {
  const auto element = find_shape_element(graph_, node_.input(input), k);
  if (!element || axis == kNoAxis) return false;
  if (!element->of) return true;
  const AxisId counted = ChannelPorts::axis(element->of, element->dim);
  if (graph_.classes_.size(counted) != graph_.classes_.size(axis) || graph_.classes_.size(axis) < 0)
    return false;
  graph_.classes_.same(counted, axis, {});
  return true;
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

// Calls `visit` with every constant that the axis comes from through operators that only move elements, and
// the constant's axis; false where something else has a part in it.
bool ChannelPorts::trace(const ChannelValue* value, int64_t k, int depth,
                         const std::function<void(const ChannelValue*, int64_t)>& visit) const {
  if (!value || !value->ranked || k < 0 || depth > kMostViews) return false;
  if (value->constant) {
    visit(value, k);
    return true;
  }
  if (value->producer < 0) return false;
  const Node& maker = graph_.model().graph.nodes[value->producer];
  const ChannelValue* from = graph_.value(maker.input(0));
  if (maker.is("Concat")) {
    return std::ranges::all_of(maker.inputs, [&](const std::string& part) {
      return trace(graph_.value(part), k, depth + 1, visit);
    });
  }
  if (!from || !from->ranked) return false;
  if (maker.is("Unsqueeze") || maker.is("Squeeze")) {
    // Axes of one element come or go: the n-th longer axis stays the n-th.
    int64_t longer = 0;
    for (int64_t i = 0; i < k; ++i) longer += value->dims[i] != 1 ? 1 : 0;
    for (int64_t i = 0; i < from->rank(); ++i) {
      if (from->dims[i] != 1 && longer-- == 0) return trace(from, i, depth + 1, visit);
    }
    return false;
  }
  if (from->rank() != value->rank()) return false;
  if (maker.is("Transpose")) {
    const std::vector<int64_t> order = maker.get_ints("perm");
    if (!order.empty() && k >= static_cast<int64_t>(order.size())) return false;
    return trace(from, order.empty() ? value->rank() - 1 - k : wrap_axis(order[k], value->rank()), depth + 1,
                 visit);
  }
  return keeps_axes(maker) && trace(from, k, depth + 1, visit);
}

void ChannelPorts::use(size_t input, int64_t k, int uses) {
  const ChannelValue* value = in(input);
  const int64_t at = value ? wrap_axis(k, value->rank()) : -1;
  trace(value, at, 0, [&](const ChannelValue* constant, int64_t axis) {
    graph_.uses_[constant->first + axis] |= static_cast<uint8_t>(uses);
  });
}

bool ChannelPorts::is_constant(size_t input) const {
  return trace(in(input), 0, 0, [](const ChannelValue*, int64_t) {});
}

}  // namespace mc
