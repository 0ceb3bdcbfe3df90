#include <map>
#include <unordered_set>

#include "mc/base/error.h"
#include "mc/ops/op.h"
#include "mc/rewrite/pass.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

constexpr int kMaxCalls = 64;         // calls within calls: more is recursion
constexpr int kMaxNodes = 1'000'000;  // functions that call each other twice each grow exponentially

std::string_view canonical(std::string_view domain) {
  return domain == "ai.onnx" ? "" : domain;
}

class Inliner {
 public:
  explicit Inliner(Model& model) : model_(model) {
    for_each_graph(model.graph, [&](Graph& graph) {
      for (const ValueInfo& input : graph.inputs) taken_.insert(input.name);
      for (const Initializer& initializer : graph.initializers()) taken_.insert(initializer.name);
      for (const Node& node : graph.nodes) taken_.insert(node.outputs.begin(), node.outputs.end());
    });
  }

  int run() {
    inline_graph(model_.graph, 0);
    return count_;
  }

 private:
  const Function* callee(const Node& node) const {
    if (find_op(node.domain, node.op_type, model_.opset(node.domain))) return nullptr;
    for (const Function& function : model_.functions) {
      if (function.name == node.op_type && canonical(function.domain) == canonical(node.domain) &&
          function.overload == node.overload) {
        return &function;
      }
    }
    return nullptr;
  }

  void inline_graph(Graph& graph, int depth) {
    std::vector<Node> nodes;
    for (Node& node : graph.nodes) append(std::move(node), nodes, depth);
    graph.nodes = std::move(nodes);
  }

  void append(Node node, std::vector<Node>& nodes, int depth) {
    MC_CHECK(++appended_ < kMaxNodes, "its functions expand to more than {} nodes", kMaxNodes);
    if (const Function* function = callee(node)) {
      with_context([&] { return node.label(); }, [&] { expand(node, *function, nodes, depth + 1); });
      return;
    }
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) inline_graph(*subgraph, depth);
    }
    nodes.push_back(std::move(node));
  }

  void check_imports(const Function& function) {
    for (const auto& [domain, version] : function.opset_imports) {
      const int64_t ours = model_.opset(domain);
      MC_CHECK(ours == 0 || ours == version,
               "function '{}' uses opset {} of '{}', the model {}; export with one opset", function.name,
               version, domain, ours);
      if (ours == 0) model_.set_opset(domain, version);
    }
  }

  void expand(const Node& call, const Function& function, std::vector<Node>& nodes, int depth) {
    MC_CHECK(depth <= kMaxCalls, "function '{}' calls itself", function.name);
    MC_CHECK(call.inputs.size() <= function.inputs.size() && call.outputs.size() <= function.outputs.size(),
             "function '{}' has {} inputs and {} outputs, the call {} and {}", function.name,
             function.inputs.size(), function.outputs.size(), call.inputs.size(), call.outputs.size());
    check_imports(function);
    ++count_;
    std::map<std::string, std::string> names = {{"", ""}};
    for (size_t i = 0; i < function.inputs.size(); ++i) names[function.inputs[i]] = call.input(i);
    const std::string prefix = call.name.empty() ? call.outputs.at(0) : call.name;
    std::vector<Node> bridges;  // an output that is directly an input
    for (size_t i = 0; i < call.outputs.size(); ++i) {
      if (call.outputs[i].empty()) continue;
      if (names.try_emplace(function.outputs[i], call.outputs[i]).second) continue;
      Node bridge;
      bridge.op_type = "Identity";
      bridge.inputs = {names[function.outputs[i]]};
      bridge.outputs = {call.outputs[i]};
      bridges.push_back(std::move(bridge));
    }
    for (Node node : function.nodes) {
      bind_attributes(node, call, function);
      rename(node, names, prefix);
      if (!node.name.empty()) node.name = prefix + "/" + node.name;
      add_source(node, call);
      append(std::move(node), nodes, depth);
    }
    for (Node& bridge : bridges) nodes.push_back(std::move(bridge));
  }

  // Attributes that refer to the function's own take the call's value, the default, or go.
  void bind_attributes(Node& node, const Node& call, const Function& function) {
    std::vector<Attribute> bound;
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) {
        for (Node& inner : subgraph->nodes) bind_attributes(inner, call, function);
      }
      if (attribute.ref.empty()) {
        bound.push_back(std::move(attribute));
        continue;
      }
      const Attribute* value = call.find(attribute.ref);
      for (const Attribute& other : function.attribute_defaults) {
        if (!value && other.name == attribute.ref) value = &other;
      }
      if (!value) continue;
      bound.push_back(*value);
      bound.back().name = attribute.name;
    }
    node.attributes = std::move(bound);
  }

  std::string renamed(const std::string& name, std::map<std::string, std::string>& names,
                      const std::string& prefix) {
    const auto [place, fresh] = names.try_emplace(name);
    if (fresh) {
      std::string wanted = prefix + "/" + name;
      for (int i = 1; !taken_.insert(wanted).second; ++i) wanted = fmt::format("{}/{}_{}", prefix, name, i);
      place->second = std::move(wanted);
    }
    return place->second;
  }

  void rename(Node& node, std::map<std::string, std::string>& names, const std::string& prefix) {
    for (std::string& input : node.inputs) input = renamed(input, names, prefix);
    for (std::string& output : node.outputs) output = renamed(output, names, prefix);
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) rename(*subgraph, names, prefix);
    }
  }

  void rename(Graph& graph, std::map<std::string, std::string>& names, const std::string& prefix) {
    for (ValueInfo& input : graph.inputs) input.name = renamed(input.name, names, prefix);
    std::vector<Initializer> initializers = graph.initializers();
    for (Initializer& initializer : initializers) {
      graph.erase_initializer(initializer.name);
      graph.add_initializer(renamed(initializer.name, names, prefix), std::move(initializer.tensor));
    }
    for (Node& node : graph.nodes) rename(node, names, prefix);
    for (ValueInfo& output : graph.outputs) output.name = renamed(output.name, names, prefix);
    graph.value_infos.clear();
  }

  Model& model_;
  std::unordered_set<std::string> taken_;
  int count_ = 0;
  int appended_ = 0;  // calls too: those of empty functions leave no nodes
};

}  // namespace

int inline_functions(Model& model) {
  return model.functions.empty() ? 0 : Inliner(model).run();
}

}  // namespace mc
