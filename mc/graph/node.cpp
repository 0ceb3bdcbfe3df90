#include <algorithm>

#include "mc/base/error.h"
#include "mc/graph/graph.h"

namespace mc {
namespace {

using GraphPointer = std::shared_ptr<Graph>;

const char* kind_name(Attribute::Kind kind) {
  static constexpr const char* kNames[] = {
      "undefined", "float",   "int",    "string",        "tensor",         "graph", "floats", "ints",
      "strings",   "tensors", "graphs", "sparse tensor", "sparse tensors", "type",  "types"};
  return kNames[static_cast<size_t>(kind)];
}

template <class T>
const T* typed(const Node& node, std::string_view name, const char* wanted) {
  const Attribute* attribute = node.find(name);
  if (attribute == nullptr) return nullptr;
  MC_CHECK(attribute->ref.empty(),
           "{}: attribute '{}' takes its value from attribute '{}' of the function around it", node.label(),
           name, attribute->ref);
  const T* value = std::get_if<T>(&attribute->value);
  MC_CHECK(value != nullptr, "{}: attribute '{}' must be {}, it is {}", node.label(), name, wanted,
           kind_name(attribute->kind));
  return value;
}

template <class T>
T value_or(const Node& node, std::string_view name, const char* wanted, T otherwise) {
  const T* value = typed<T>(node, name, wanted);
  return value == nullptr ? std::move(otherwise) : *value;
}

}  // namespace

Attribute::Attribute(const Attribute& other)
    : name(other.name),
      kind(other.kind),
      doc(other.doc),
      ref(other.ref),
      value(other.value),
      tensor_name(other.tensor_name),
      unknown_fields(other.unknown_fields) {
  const auto clone = [](GraphPointer& graph) {
    if (graph) graph = std::make_shared<Graph>(*graph);
  };
  if (auto* one = std::get_if<GraphPointer>(&value)) clone(*one);
  if (auto* list = std::get_if<std::vector<GraphPointer>>(&value)) std::ranges::for_each(*list, clone);
}

Attribute& Attribute::operator=(const Attribute& other) {
  if (this != &other) *this = Attribute(other);
  return *this;
}

Attribute::Attribute(std::string n, Graph v)
    : name(std::move(n)), kind(Kind::kGraph), value(std::make_shared<Graph>(std::move(v))) {}

std::vector<Graph*> Attribute::graphs() {
  std::vector<Graph*> found;
  if (auto* one = std::get_if<GraphPointer>(&value)) found.push_back(one->get());
  if (auto* list = std::get_if<std::vector<GraphPointer>>(&value)) {
    for (const GraphPointer& graph : *list) found.push_back(graph.get());
  }
  std::erase(found, nullptr);
  return found;
}

std::vector<const Graph*> Attribute::graphs() const {
  const std::vector<Graph*> found = const_cast<Attribute*>(this)->graphs();
  return {found.begin(), found.end()};
}

const Attribute* Node::find(std::string_view attribute) const {
  const auto found = std::ranges::find(attributes, attribute, &Attribute::name);
  return found == attributes.end() ? nullptr : &*found;
}

Attribute* Node::find(std::string_view attribute) {
  return const_cast<Attribute*>(std::as_const(*this).find(attribute));
}

void Node::set(Attribute attribute) {
  if (Attribute* old = find(attribute.name)) {
    *old = std::move(attribute);
  } else {
    attributes.push_back(std::move(attribute));
  }
}

void Node::erase(std::string_view attribute) {
  std::erase_if(attributes, [&](const Attribute& candidate) { return candidate.name == attribute; });
}

int64_t Node::get_int(std::string_view attribute, int64_t otherwise) const {
  return value_or<int64_t>(*this, attribute, "an int", otherwise);
}

float Node::get_float(std::string_view attribute, float otherwise) const {
  return value_or<float>(*this, attribute, "a float", otherwise);
}

std::string Node::get_string(std::string_view attribute, std::string otherwise) const {
  return value_or<std::string>(*this, attribute, "a string", std::move(otherwise));
}

std::vector<int64_t> Node::get_ints(std::string_view attribute, std::vector<int64_t> otherwise) const {
  return value_or<std::vector<int64_t>>(*this, attribute, "ints", std::move(otherwise));
}

std::vector<float> Node::get_floats(std::string_view attribute, std::vector<float> otherwise) const {
  return value_or<std::vector<float>>(*this, attribute, "floats", std::move(otherwise));
}

const Tensor* Node::get_tensor(std::string_view attribute) const {
  return typed<Tensor>(*this, attribute, "a tensor");
}

std::string Node::label() const {
  std::string shown = name;
  for (size_t i = 0; shown.empty() && i < outputs.size(); ++i) shown = outputs[i];
  return "node '" + shown + "' (" + (domain.empty() ? op_type : domain + "." + op_type) + ")";
}

}  // namespace mc
