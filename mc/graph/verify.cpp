#include <algorithm>
#include <unordered_set>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/graph/order.h"

namespace mc {
namespace {

std::string_view plain(std::string_view domain) {
  return domain == "ai.onnx" ? std::string_view() : domain;
}

void verify_tensor(const Tensor& tensor) {
  MC_CHECK(dtype_known(static_cast<int32_t>(tensor.dtype)), "unknown element type {}",
           static_cast<int32_t>(tensor.dtype));
  const auto count = static_cast<uint64_t>(tensor.count());
  const auto describe = [&] {
    return to_string(Type::tensor(tensor.dtype, Shape(tensor.dims.begin(), tensor.dims.end())));
  };
  if (tensor.dtype == DType::kString) {
    MC_CHECK(tensor.data.size() == 0 && tensor.strings.size() == count, "needs {} strings for {}, has {}",
             count, describe(), tensor.strings.size());
    return;
  }
  const uint64_t needed = dtype_bytes(tensor.dtype, count);
  MC_CHECK(tensor.strings.empty(), "a tensor of {} holds no strings", dtype_name(tensor.dtype));
  MC_CHECK(tensor.data.size() == needed, "needs {} bytes for {}, has {}", needed, describe(),
           tensor.data.size());
}

void verify_sparse(const Attribute::Sparse& sparse) {
  with_context([] { return "values"; }, [&] { verify_tensor(sparse.values); });
  with_context([] { return "indices"; }, [&] { verify_tensor(sparse.indices); });
  MC_CHECK(sparse.indices.dtype == DType::kInt64, "the indices of a sparse constant are int64");
  for (const int64_t dim : sparse.dims)
    MC_CHECK(dim >= 0, "a dimension of a sparse constant is negative: {}", dim);
}

void verify_type(const Type& type, int depth) {
  MC_CHECK(depth <= kMaxDepth, "a type is nested deeper than {} levels", kMaxDepth);
  if (type.element) verify_type(*type.element, depth + 1);
}

using Names = std::unordered_set<std::string>;

class Verifier {
 public:
  explicit Verifier(const std::vector<std::pair<std::string, int64_t>>& opsets, int64_t ir_version,
                    bool in_function)
      : in_function_(in_function) {
    for (const auto& [domain, version] : opsets) {
      MC_CHECK(version >= 1, "opset {} of domain '{}' is not valid", version, domain);
      MC_CHECK(domains_.insert(std::string(plain(domain))).second,
               "the opset of domain '{}' is imported twice", domain);
    }
    // Before IR version 3 models named no opsets.
    if (ir_version < 3) domains_.insert("");
  }

  void graph(const Graph& graph) {
    with_context([&] { return "graph '" + graph.name + "'"; },
                 [&] {
                   MC_CHECK(static_cast<int>(scopes_.size()) < kMaxDepth,
                            "subgraphs are nested deeper than {} levels", kMaxDepth);
                   scopes_.emplace_back();
                   inputs(graph);
                   constants(graph);
                   nodes(graph.nodes, [&] { topological_order(graph); });
                   for (const ValueInfo& output : graph.outputs) {
                     MC_CHECK(visible(output.name), "output '{}' is made by no node, input or initializer",
                              output.name);
                     verify_type(output.type, 1);
                   }
                   for (const ValueInfo& info : graph.value_infos) verify_type(info.type, 1);
                   scopes_.pop_back();
                 });
  }

  void function(const Function& function) {
    scopes_.emplace_back();
    for (const std::string& input : function.inputs) define(input, "input");
    nodes(function.nodes, [&] {
      Graph body;
      body.name = function.name;
      body.nodes = function.nodes;
      topological_order(body);
    });
    for (const std::string& output : function.outputs) {
      MC_CHECK(visible(output), "output '{}' is made by no node and is no input", output);
    }
    scopes_.pop_back();
  }

 private:
  bool visible(const std::string& value) const {
    return std::ranges::any_of(scopes_, [&](const Names& names) { return names.contains(value); });
  }

  void define(const std::string& value, const char* what) {
    MC_CHECK(!value.empty(), "an {} has no name", what);
    MC_CHECK(scopes_.back().insert(value).second, "{} '{}' has the name of another value", what, value);
  }

  void inputs(const Graph& graph) {
    for (const ValueInfo& input : graph.inputs) {
      define(input.name, "input");
      verify_type(input.type, 1);
    }
  }

  void constants(const Graph& graph) {
    for (const Initializer& each : graph.initializers()) {
      MC_CHECK(!each.name.empty(), "an initializer has no name");
      // An input of the same name makes it that input's default.
      scopes_.back().insert(each.name);
      with_context([&] { return "initializer '" + each.name + "'"; },
                   [&] { each.sparse ? verify_sparse(each.sparse_value) : verify_tensor(each.tensor); });
    }
  }

  template <class FindCycle>
  void nodes(const std::vector<Node>& list, FindCycle find_cycle) {
    for (const Node& node : list) {
      with_context([&] { return node.label(); },
                   [&] {
                     MC_CHECK(!node.op_type.empty(), "it names no operator");
                     MC_CHECK(domains_.contains(std::string(plain(node.domain))),
                              "the model imports no opset of its domain '{}'; add it to opset_import",
                              node.domain);
                     for (const std::string& input : node.inputs) {
                       if (!input.empty() && !visible(input)) undefined(input, list, find_cycle);
                     }
                     attributes(node, list, find_cycle);
                     for (const std::string& output : node.outputs) {
                       if (!output.empty()) define(output, "output");
                     }
                   });
    }
  }

  template <class FindCycle>
  [[noreturn]] static void undefined(const std::string& value, const std::vector<Node>& list,
                                     FindCycle find_cycle) {
    for (const Node& maker : list) {
      if (std::ranges::find(maker.outputs, value) == maker.outputs.end()) continue;
      find_cycle();
      fail("it uses '{}' before {} makes it; nodes must stand in topological order", value, maker.label());
    }
    fail("its input '{}' is made by no node, input or initializer", value);
  }

  template <class FindCycle>
  void attributes(const Node& node, const std::vector<Node>& list, FindCycle find_cycle) {
    std::unordered_set<std::string_view> names;
    for (const Attribute& each : node.attributes) {
      MC_CHECK(names.insert(each.name).second, "two attributes are named '{}'", each.name);
      for (const Graph* subgraph : each.graphs()) {
        // Found here, a use of a later value is told from one that nothing makes.
        for (const std::string& value : captures(*subgraph)) {
          if (!visible(value)) undefined(value, list, find_cycle);
        }
      }
      with_context([&] { return "attribute '" + each.name + "'"; }, [&] { attribute(each); });
    }
  }

  void attribute(const Attribute& attribute) {
    MC_CHECK(!attribute.name.empty(), "an attribute has no name");
    if (!attribute.ref.empty()) {
      MC_CHECK(in_function_, "it refers to attribute '{}' of a function but stands in none", attribute.ref);
      return;
    }
    MC_CHECK(attribute.kind != Attribute::Kind::kUndefined, "it has no value");
    MC_CHECK(attribute.value.index() == static_cast<size_t>(attribute.kind), "its value is not of its kind");
    if (const auto* tensor = std::get_if<Tensor>(&attribute.value)) verify_tensor(*tensor);
    if (const auto* list = std::get_if<std::vector<Tensor>>(&attribute.value))
      std::ranges::for_each(*list, verify_tensor);
    if (const auto* sparse = std::get_if<Attribute::Sparse>(&attribute.value)) verify_sparse(*sparse);
    if (const auto* list = std::get_if<std::vector<Attribute::Sparse>>(&attribute.value)) {
      std::ranges::for_each(*list, verify_sparse);
    }
    const auto wanted = [&]() -> size_t {
      const auto* list = std::get_if<std::vector<std::shared_ptr<Graph>>>(&attribute.value);
      return list != nullptr ? list->size() : attribute.kind == Attribute::Kind::kGraph ? 1 : 0;
    };
    const std::vector<const Graph*> subgraphs = attribute.graphs();
    MC_CHECK(subgraphs.size() == wanted(), "a subgraph is missing");
    for (const Graph* subgraph : subgraphs) graph(*subgraph);
  }

  bool in_function_;
  Names domains_;
  std::vector<Names> scopes_;
};

std::string function_key(std::string_view domain, std::string_view name, std::string_view overload) {
  return fmt::format("{}:{}:{}", plain(domain), name, overload);
}

// Functions must not call themselves, by however many steps.
class CallGraph {
 public:
  explicit CallGraph(const std::vector<Function>& functions) {
    for (const Function& each : functions) {
      MC_CHECK(functions_.emplace(function_key(each.domain, each.name, each.overload), &each).second,
               "two functions are named '{}' in domain '{}'", each.name, each.domain);
    }
  }

  void check() {
    for (const auto& [key, function] : functions_) visit(key, *function, 1);
  }

 private:
  void visit(const std::string& key, const Function& function, int depth) {
    MC_CHECK(depth <= kMaxCalls, "functions call one another deeper than {} levels", kMaxCalls);
    bool& open = open_[key];
    MC_CHECK(!open, "function '{}' calls itself", function.name);
    if (!done_.insert(key).second) return;
    open = true;
    calls(function.nodes, depth);
    open_[key] = false;
  }

  void calls(const std::vector<Node>& nodes, int depth) {
    for (const Node& node : nodes) {
      const std::string key = function_key(node.domain, node.op_type, node.overload);
      const auto called = functions_.find(key);
      if (called != functions_.end()) visit(key, *called->second, depth + 1);
      for (const Attribute& attribute : node.attributes) {
        for (const Graph* subgraph : attribute.graphs()) calls(subgraph->nodes, depth);
      }
    }
  }

  static constexpr int kMaxCalls = 256;  // keeps hostile chains off the stack's end
  std::unordered_map<std::string, const Function*> functions_;
  std::unordered_map<std::string, bool> open_;
  Names done_;
};

}  // namespace

void verify(const Model& model) {
  CallGraph(model.functions).check();
  for (const Function& function : model.functions) {
    with_context(
        [&] { return "function '" + function.name + "'"; },
        [&] {
          MC_CHECK(!function.name.empty(), "a function has no name");
          Verifier(function.opset_imports, model.ir_version, /*in_function=*/true).function(function);
        });
  }
  Verifier(model.opset_imports, model.ir_version, /*in_function=*/false).graph(model.graph);
}

}  // namespace mc
