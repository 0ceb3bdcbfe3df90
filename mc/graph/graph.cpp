#include "mc/graph/graph.h"

#include <algorithm>
#include <unordered_set>

#include "mc/base/error.h"

namespace mc {
namespace {

// Shows everything that a graph and its subgraphs call a value or a node; names come more than once.
template <class Visit>
void for_each_name(const Graph& graph, bool of_nodes, const Visit& visit) {
  for_each_graph(graph, [&](const Graph& each) {
    for (const Node& node : each.nodes) {
      if (of_nodes) {
        visit(node.name);
      } else {
        for (const std::string& input : node.inputs) visit(input);
        for (const std::string& output : node.outputs) visit(output);
      }
    }
    if (of_nodes) return;
    for (const auto* infos : {&each.inputs, &each.outputs, &each.value_infos}) {
      for (const ValueInfo& info : *infos) visit(info.name);
    }
    for (const Initializer& initializer : each.initializers()) visit(initializer.name);
  });
}

// Most names that are wanted are free, and looking costs less than a set of all names.
std::string unique_name(const Graph& graph, bool of_nodes, const std::string& wanted) {
  bool free = !wanted.empty();
  for_each_name(graph, of_nodes, [&](const std::string& name) { free = free && name != wanted; });
  if (free) return wanted;
  std::unordered_set<std::string> taken;
  for_each_name(graph, of_nodes, [&](const std::string& name) { taken.insert(name); });
  for (size_t i = 1;; ++i) {
    std::string candidate = wanted + "_" + std::to_string(i);
    if (!taken.contains(candidate)) return candidate;
  }
}

bool defines(const Graph& graph, const std::string& value) {
  if (graph.initializer(value) != nullptr) return true;
  if (std::ranges::find(graph.inputs, value, &ValueInfo::name) != graph.inputs.end()) return true;
  return std::ranges::any_of(graph.nodes, [&](const Node& node) {
    return std::ranges::find(node.outputs, value) != node.outputs.end();
  });
}

}  // namespace

const Initializer* Graph::initializer(std::string_view value) const {
  const auto found = initializer_index_.find(std::string(value));
  return found == initializer_index_.end() ? nullptr : &initializers_[found->second];
}

Initializer* Graph::initializer(std::string_view value) {
  return const_cast<Initializer*>(std::as_const(*this).initializer(value));
}

Initializer& Graph::add_initializer(std::string value, Tensor tensor) {
  const bool added = initializer_index_.emplace(value, initializers_.size()).second;
  MC_CHECK(added, "graph '{}': two initializers are named '{}'", name, value);
  Initializer& initializer = initializers_.emplace_back();
  initializer.name = std::move(value);
  initializer.tensor = std::move(tensor);
  return initializer;
}

void Graph::set_initializer(const std::string& value, Tensor tensor) {
  Initializer* old = initializer(value);
  if (old == nullptr) {
    add_initializer(value, std::move(tensor));
    return;
  }
  *old = Initializer{};
  old->name = value;
  old->tensor = std::move(tensor);
}

void Graph::erase_initializer(const std::string& value) {
  const auto found = initializer_index_.find(value);
  if (found == initializer_index_.end()) return;
  const size_t gone = found->second;
  initializers_.erase(initializers_.begin() + static_cast<std::ptrdiff_t>(gone));
  initializer_index_.erase(found);
  for (auto& [other, index] : initializer_index_) index -= index > gone ? 1 : 0;
}

std::optional<Type> Graph::type_of(std::string_view value) const {
  for (const auto* infos : {&inputs, &outputs, &value_infos}) {
    const auto found = std::ranges::find(*infos, value, &ValueInfo::name);
    if (found != infos->end() && found->type.kind != Type::Kind::kUnknown) return found->type;
  }
  const Initializer* constant = initializer(value);
  if (constant == nullptr) return std::nullopt;
  const std::vector<int64_t>& dims = constant->sparse ? constant->sparse_value.dims : constant->tensor.dims;
  Type type = Type::tensor(constant->sparse ? constant->sparse_value.values.dtype : constant->tensor.dtype,
                           Shape(dims.begin(), dims.end()));
  if (constant->sparse) type.kind = Type::Kind::kSparseTensor;
  return type;
}

void Graph::set_type(const std::string& value, Type type) {
  bool written = false;
  for (auto* infos : {&inputs, &outputs, &value_infos}) {
    for (ValueInfo& info : *infos) {
      if (info.name != value) continue;
      info.type = type;
      written = true;
    }
  }
  if (written) return;
  ValueInfo& info = value_infos.emplace_back();
  info.name = value;
  info.type = std::move(type);
}

std::vector<const ValueInfo*> Graph::real_inputs() const {
  std::vector<const ValueInfo*> real;
  for (const ValueInfo& input : inputs) {
    if (initializer(input.name) == nullptr) real.push_back(&input);
  }
  return real;
}

void Graph::replace_uses(const std::string& from, const std::string& to) {
  for (Node& node : nodes) {
    std::ranges::replace(node.inputs, from, to);
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) {
        // A subgraph that has a value of that name means its own.
        if (!defines(*subgraph, from)) subgraph->replace_uses(from, to);
      }
    }
  }
  for (ValueInfo& output : outputs) {
    if (output.name == from) output.name = to;
  }
}

std::string Graph::unique_value_name(const std::string& wanted) const {
  return unique_name(*this, /*of_nodes=*/false, wanted);
}

std::string Graph::unique_node_name(const std::string& wanted) const {
  return unique_name(*this, /*of_nodes=*/true, wanted);
}

int64_t Model::opset(std::string_view in_domain) const {
  const auto plain = [](std::string_view text) { return text == "ai.onnx" ? std::string_view() : text; };
  for (const auto& [imported, version] : opset_imports) {
    if (plain(imported) == plain(in_domain)) return version;
  }
  return 0;
}

void Model::set_opset(const std::string& in_domain, int64_t version) {
  const auto plain = [](std::string_view text) { return text == "ai.onnx" ? std::string_view() : text; };
  for (auto& [imported, old] : opset_imports) {
    if (plain(imported) != plain(in_domain)) continue;
    old = version;
    return;
  }
  opset_imports.emplace_back(in_domain, version);
}

void for_each_graph(Graph& graph, const std::function<void(Graph&)>& visit) {
  visit(graph);
  for (Node& node : graph.nodes) {
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) for_each_graph(*subgraph, visit);
    }
  }
}

void for_each_graph(const Graph& graph, const std::function<void(const Graph&)>& visit) {
  visit(graph);
  for (const Node& node : graph.nodes) {
    for (const Attribute& attribute : node.attributes) {
      for (const Graph* subgraph : attribute.graphs()) for_each_graph(*subgraph, visit);
    }
  }
}

}  // namespace mc
