#include <algorithm>

#include "mc/base/error.h"
#include "mc/prune/channel_rules.h"

namespace mc {

CutNode::CutNode(const ChannelGraph& graph, const std::vector<bool>& removed, CutModel& cut, Node& node,
                 int64_t opset)
    : graph_(graph), removed_(removed), cut_(cut), node_(node), opset_(opset) {}

const ChannelValue* CutNode::in(size_t i) const {
  const ChannelValue* value =
      i < node_.inputs.size() && !node_.inputs[i].empty() ? graph_.value(node_.inputs[i]) : nullptr;
  return value && value->ranked ? value : nullptr;
}

const ChannelValue* CutNode::out(size_t i) const {
  const ChannelValue* value =
      i < node_.outputs.size() && !node_.outputs[i].empty() ? graph_.value(node_.outputs[i]) : nullptr;
  return value && value->ranked ? value : nullptr;
}

bool CutNode::keeps(const ChannelValue* value, int64_t k, int64_t i) const {
  return !removed_[graph_.classes().element(value->first + static_cast<AxisId>(k), i)];
}

int64_t CutNode::size(const ChannelValue* value, int64_t k) const {
  const int64_t at = value ? wrap_axis(k, value->rank()) : -1;
  if (at < 0) return -1;
  return kept_size(graph_, removed_, value->first + static_cast<AxisId>(at));
}

bool CutNode::changed(const ChannelValue* value, int64_t k) const {
  const int64_t at = value ? wrap_axis(k, value->rank()) : -1;
  return at >= 0 && value->dims[at] >= 0 && size(value, at) != value->dims[at];
}

int64_t CutNode::kept_before(const ChannelValue* value, int64_t k, int64_t i) const {
  int64_t count = 0;
  for (int64_t j = 0; j < i; ++j) count += keeps(value, k, j) ? 1 : 0;
  return count;
}

std::optional<std::vector<int64_t>> CutNode::ints(size_t input, std::string_view attribute) const {
  if (!attribute.empty() && node_.find(attribute)) return node_.get_ints(attribute);
  return constant_ints(in(input));
}

std::string CutNode::new_constant(const std::string& near, Tensor tensor) {
  const std::string name = cut_.model.graph.unique_value_name(near + ".cut");
  cut_.model.graph.add_initializer(name, std::move(tensor));
  return name;
}

void CutNode::set_ints(size_t input, std::string_view attribute, const std::vector<int64_t>& values) {
  if (!attribute.empty() && node_.find(attribute)) {
    node_.set({std::string(attribute), values});
    return;
  }
  if (node_.inputs.size() <= input) node_.inputs.resize(input + 1);
  const ChannelValue* old = in(input);
  Tensor tensor = Tensor::int64s({static_cast<int64_t>(values.size())}, values);
  if (old && old->constant && old->constant->dtype == DType::kInt32) {
    const std::vector<int32_t> narrow(values.begin(), values.end());
    tensor = Tensor::of<int32_t>(DType::kInt32, tensor.dims, narrow);
  }
  const std::string near = node_.inputs[input].empty() ? node_.outputs[0] : node_.inputs[input];
  node_.inputs[input] = new_constant(near, std::move(tensor));
}

void CutNode::set_shape(size_t input) {
  const ChannelValue* y = out(0);
  if (!y) return;
  if (node_.find("shape") && node_.input(input).empty()) {  // Reshape up to opset 4
    std::vector<int64_t> shape = node_.get_ints("shape");
    for (int64_t k = 0; k < y->rank() && k < static_cast<int64_t>(shape.size()); ++k) {
      if (changed(y, k) && shape[k] > 1) shape[k] = size(y, k);
    }
    node_.set({"shape", shape});
    return;
  }
  const ChannelValue* shape = in(input);
  const int64_t unsaid = shape && shape->rank() == 1 ? y->rank() - shape->dims[0] : 0;
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (int64_t k = std::max<int64_t>(unsaid, 0); k < y->rank(); ++k) {
    const auto element =
        changed(y, k) ? find_shape_element(graph_, node_.inputs[input], k - unsaid) : std::nullopt;
    if (element && element->number > 1) changes.emplace_back(k - unsaid, size(y, k));
  }
  if (!changes.empty()) node_.inputs[input] = with_elements(node_.inputs[input], changes);
}

// Copies of the constants, and of the concatenations on the way to them, that hold the elements.
std::string CutNode::with_elements(const std::string& name,
                                   const std::vector<std::pair<int64_t, int64_t>>& changes) {
  const ChannelValue* value = graph_.value(name);
  if (auto numbers = constant_ints(value)) {
    for (const auto& [k, number] : changes) numbers->at(static_cast<size_t>(k)) = number;
    return new_constant(name, Tensor::int64s(value->constant->dims, *numbers));
  }
  const Node* maker = value && value->producer >= 0 ? &graph_.model().graph.nodes[value->producer] : nullptr;
  MC_CHECK(maker && maker->is("Concat"), "the shape '{}' of {} is computed; it cannot follow the cut", name,
           node_.label());
  Node copy = *maker;
  int64_t begin = 0;
  for (std::string& part : copy.inputs) {
    const ChannelValue* piece = graph_.value(part);
    const int64_t size = piece && piece->rank() == 1 ? piece->dims[0] : 0;
    std::vector<std::pair<int64_t, int64_t>> inside;
    for (const auto& [k, number] : changes) {
      if (k >= begin && k < begin + size) inside.emplace_back(k - begin, number);
    }
    if (!inside.empty()) part = with_elements(part, inside);
    begin += size;
  }
  copy.outputs[0] = cut_.new_value_name(name + ".cut");
  copy.name = copy.name.empty() ? copy.name : copy.outputs[0];
  cut_.added.push_back(copy);
  return copy.outputs[0];
}

}  // namespace mc
