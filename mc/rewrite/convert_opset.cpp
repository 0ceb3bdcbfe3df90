#include "mc/rewrite/convert_opset.h"

#include <algorithm>
#include <utility>

#include "mc/base/text.h"
#include "mc/ops/op.h"
#include "mc/rewrite/convert_opset_table.h"

namespace mc {
namespace {

// On value infos that only serve the conversion and go after it.
constexpr const char* kInferred = "mc.inferred";

bool is_main(std::string_view domain) {
  return domain.empty() || domain == "ai.onnx";
}

// The IR version that came with an opset.
int64_t ir_version_of(int64_t opset) {
  static constexpr std::pair<int64_t, int64_t> kFirst[] = {
      {28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5}, {9, 4}};
  for (const auto& [first, ir_version] : kFirst) {
    if (opset >= first) return ir_version;
  }
  return 3;
}

// Writes what inference finds out about the values of the graph, and of the graphs in it, into value infos.
void add_inferred_types(const Model& model, Graph& graph, const OpsetScope* outer) {
  Model alone;
  alone.opset_imports = model.opset_imports;
  alone.functions = model.functions;
  alone.graph = graph;
  for (const std::string& name : captures(graph)) {
    const Type* type = outer ? outer->type(name) : nullptr;
    if (!type) continue;
    ValueInfo& input = alone.graph.inputs.emplace_back();
    input.name = name;
    input.type = *type;
  }
  try {
    infer_shapes(alone);
  } catch (const Error&) {
    // Rules then see the declared types, and refuse where they need more.
  }
  OpsetScope scope{outer, {}, {}};
  for (const auto* infos : {&graph.value_infos, &graph.inputs, &graph.outputs}) {
    for (const ValueInfo& info : *infos) scope.types[info.name] = info.type;
  }
  for (ValueInfo& info : alone.graph.value_infos) {
    if (!scope.types.emplace(info.name, info.type).second) continue;
    info.metadata = {{kInferred, ""}};
    graph.value_infos.push_back(std::move(info));
  }
  for (const Initializer& initializer : graph.initializers()) {
    scope.types[initializer.name] = *graph.type_of(initializer.name);
  }
  for (Node& node : graph.nodes) {
    for (Attribute& attribute : node.attributes) {
      for (Graph* subgraph : attribute.graphs()) add_inferred_types(model, *subgraph, &scope);
    }
  }
}

OpsetScope scope_of(const Graph& graph, const OpsetScope* outer) {
  OpsetScope scope{outer, {}, {}};
  for (const auto* infos : {&graph.value_infos, &graph.inputs, &graph.outputs}) {
    for (const ValueInfo& info : *infos) scope.types[info.name] = info.type;
  }
  for (const Initializer& initializer : graph.initializers()) {
    const auto declared = scope.types.find(initializer.name);
    const bool overridable =
        std::ranges::find(graph.inputs, initializer.name, &ValueInfo::name) != graph.inputs.end();
    if (declared == scope.types.end()) scope.types[initializer.name] = *graph.type_of(initializer.name);
    if (!initializer.sparse && !overridable) scope.constants[initializer.name] = initializer.tensor;
  }
  return scope;
}

class OpsetConversion {
 public:
  OpsetConversion(Model& model, int64_t target) : model_(model), target_(target) {}

  int run() {
    for_each_nodes([&](std::vector<Node>& nodes) { collect_names(nodes); });
    for_each_graph(model_.graph, [&](Graph& graph) {
      for (const ValueInfo& input : graph.inputs) names_.taken.insert(input.name);
      for (const Initializer& initializer : graph.initializers()) names_.taken.insert(initializer.name);
      for (const ValueInfo& output : graph.outputs) names_.read.insert(output.name);
    });
    if (const int64_t from = model_.opset(); from != 0 && from != target_) {
      add_inferred_types(model_, model_.graph, nullptr);
      convert(from, [&](int64_t version, bool up) { step_graph(model_.graph, version, up, nullptr); });
      model_.set_opset("", target_);
    }
    for (Function& function : model_.functions) convert_function(function);
    if (!refusals_.empty()) fail("cannot be converted to opset {}: {}", target_, join(refusals_, "; "));
    tidy();
    model_.ir_version = std::max(model_.ir_version, ir_version_of(target_));
    return changed_;
  }

 private:
  // `visit` sees the nodes of every graph and function once.
  void for_each_nodes(const std::function<void(std::vector<Node>&)>& visit) {
    const std::function<void(Graph&)> visit_graph = [&](Graph& graph) { visit(graph.nodes); };
    for_each_graph(model_.graph, visit_graph);
    for (Function& function : model_.functions) {
      visit(function.nodes);
      for (Node& node : function.nodes) {
        for (Attribute& attribute : node.attributes) {
          for (Graph* subgraph : attribute.graphs()) for_each_graph(*subgraph, visit_graph);
        }
      }
    }
  }

  void collect_names(const std::vector<Node>& nodes) {
    for (const Node& node : nodes) {
      names_.taken.insert(node.name);
      names_.taken.insert(node.outputs.begin(), node.outputs.end());
      names_.read.insert(node.inputs.begin(), node.inputs.end());
    }
  }

  void convert_function(Function& function) {
    const auto import =
        std::ranges::find_if(function.opset_imports, [](const auto& i) { return is_main(i.first); });
    if (import == function.opset_imports.end() || import->second == target_) return;
    names_.taken.insert(function.inputs.begin(), function.inputs.end());
    names_.read.insert(function.outputs.begin(), function.outputs.end());
    with_context([&] { return fmt::format("function '{}'", function.name); },
                 [&] {
                   convert(import->second, [&](int64_t version, bool up) {
                     OpsetScope scope;
                     for (const ValueInfo& info : function.value_infos) scope.types[info.name] = info.type;
                     step_nodes(function.nodes, version, up, scope, nullptr);
                   });
                 });
    import->second = target_;
  }

  void convert(int64_t from, const std::function<void(int64_t version, bool up)>& step) {
    MC_CHECK(from >= kOldestConvertible && from <= kNewestConvertible,
             "opset {} cannot be converted; only {} to {} can", from, kOldestConvertible, kNewestConvertible);
    for (int64_t version = from + 1; version <= target_; ++version) step(version, true);
    for (int64_t version = from; version > target_; --version) {
      step(version, false);
      drop_consumed();
    }
  }

  bool is_function(const Node& node) const {
    return std::ranges::any_of(model_.functions, [&](const Function& function) {
      return is_main(function.domain) && function.name == node.op_type;
    });
  }

  // The change of the node's operator in this version, where something must be done or looked at.
  const OpsetChange* change_of(const Node& node, int64_t version, bool up) const {
    if (!is_main(node.domain)) return nullptr;
    const OpsetHistory* history = opset_history(node.op_type);
    const OpsetChange* change = history ? history->change(version) : nullptr;
    const bool matters = change && (up ? change->up != nullptr : change->down || change->new_types);
    return matters ? change : nullptr;
  }

  bool concerns(const std::vector<Node>& nodes, int64_t version, bool up) const {
    return std::ranges::any_of(nodes, [&](const Node& node) {
      if (is_main(node.domain)) {
        const OpsetHistory* history = opset_history(node.op_type);
        if (!history || history->first >= version || change_of(node, version, up)) return true;
      }
      return std::ranges::any_of(node.attributes, [&](const Attribute& attribute) {
        const auto graphs = attribute.graphs();
        return std::ranges::any_of(graphs, [&](const Graph* g) { return concerns(g->nodes, version, up); });
      });
    });
  }

  void step_graph(Graph& graph, int64_t version, bool up, const OpsetScope* outer) {
    if (!concerns(graph.nodes, version, up)) return;
    OpsetScope scope = scope_of(graph, outer);
    step_nodes(graph.nodes, version, up, scope, &graph);
  }

  // `graph` is null in functions.
  void step_nodes(std::vector<Node>& nodes, int64_t version, bool up, OpsetScope& scope, Graph* graph) {
    std::vector<Node> done;
    done.reserve(nodes.size());
    for (Node& node : nodes) {
      for (Attribute& attribute : node.attributes) {
        for (Graph* subgraph : attribute.graphs()) step_graph(*subgraph, version, up, &scope);
      }
      if (graph && !up && moves_to_initializers(node, version)) {
        scope.constants[node.outputs[0]] = *node.get_tensor("value");
        graph->add_initializer(node.outputs[0], *node.get_tensor("value"));
        continue;
      }
      if (is_main(node.domain)) {
        step_node(node, version, up, scope, done);
      } else {
        done.push_back(std::move(node));
      }
      const Node& last = done.back();
      const Attribute* value = last.is("Constant") ? last.find("value") : nullptr;
      const Tensor* tensor = value ? std::get_if<Tensor>(&value->value) : nullptr;
      if (tensor) scope.constants[last.outputs.at(0)] = *tensor;
    }
    nodes = std::move(done);
  }

  // Constants of types that the old form of the operator does not take. Before IR version 4 initializers
  // would have to be inputs too.
  bool moves_to_initializers(const Node& node, int64_t version) const {
    if (!node.is("Constant") || model_.ir_version < 4) return false;
    const OpsetChange* change = change_of(node, version, /*up=*/false);
    const Attribute* value = node.find("value");
    const Tensor* tensor = value ? std::get_if<Tensor>(&value->value) : nullptr;
    return change && tensor && (change->new_types >> static_cast<int>(tensor->dtype) & 1) != 0;
  }

  void step_node(Node& node, int64_t version, bool up, OpsetScope& scope, std::vector<Node>& done) {
    const std::string key = node.label() + "\n" + join(node.outputs, "\n");
    OpsetStep step(node, up ? version : version - 1, scope, names_);
    if (!refused_.contains(key)) {
      try {
        apply(step, version, up);
      } catch (const Error& error) {
        refused_.insert(key);
        refusals_.emplace_back(error.what());
      }
    }
    for (Node& before : step.nodes_before) done.push_back(std::move(before));
    Node behind = std::move(node);
    done.push_back(std::move(behind));
    for (Node& after : step.nodes_after) done.push_back(std::move(after));
  }

  void apply(OpsetStep& step, int64_t version, bool up) {
    const OpsetHistory* history = opset_history(step.node.op_type);
    if (!history && is_function(step.node)) return;
    if (!history) step.refuse("ai.onnx has no such operator");
    if (history->first > version) step.refuse("the operator came with opset {} only", history->first);
    const bool gone = !up && history->first == version;
    if (gone && !history->without) step.refuse("the operator came with opset {}", version);
    const OpsetChange* change = change_of(step.node, version, up);
    if (!change && !gone) return;
    if (change && !up) refuse_new_types(step, change->new_types);
    const OpsetRule& rule = gone ? history->without : up ? change->up : change->down;
    if (!rule) return;
    rule(step);
    if (!up) step.trim_inputs();  // older operators have no optional inputs to omit
    ++changed_;
  }

  void refuse_new_types(const OpsetStep& step, TypeSet types) const {
    for (const auto* values : {&step.node.inputs, &step.node.outputs}) {
      for (const std::string& value : *values) {
        const DType element = step.dtype(value);
        if (types >> static_cast<int>(element) & 1) {
          step.refuse("opset {} does not take {} ('{}')", step.to, dtype_name(element), value);
        }
        const Type* type = step.type(value);
        const bool sequence = type && type->kind == Type::Kind::kSequence && (types & kSequences);
        const bool optional = type && type->kind == Type::Kind::kOptional && (types & kOptionals);
        if (sequence || optional)
          step.refuse("opset {} does not take {} ('{}')", step.to, to_string(*type), value);
      }
    }
  }

  // Constants that became attributes, where nothing else reads them.
  void drop_consumed() {
    if (names_.consumed.empty()) return;
    std::unordered_set<std::string> read;
    for_each_nodes([&](std::vector<Node>& nodes) {
      for (const Node& node : nodes) read.insert(node.inputs.begin(), node.inputs.end());
    });
    for_each_graph(model_.graph, [&](Graph& graph) {
      for (const ValueInfo& output : graph.outputs) read.insert(output.name);
    });
    for (const Function& function : model_.functions) {
      read.insert(function.outputs.begin(), function.outputs.end());
    }
    std::erase_if(names_.consumed, [&](const std::string& name) { return read.contains(name); });
    for_each_nodes([&](std::vector<Node>& nodes) {
      std::erase_if(nodes, [&](const Node& node) {
        return node.is("Constant") && names_.consumed.contains(node.outputs.at(0));
      });
    });
    for_each_graph(model_.graph, [&](Graph& graph) {
      for (const std::string& name : names_.consumed) {
        const bool input = std::ranges::find(graph.inputs, name, &ValueInfo::name) != graph.inputs.end();
        if (!input) graph.erase_initializer(name);
      }
    });
    names_.dropped.insert(names_.consumed.begin(), names_.consumed.end());
    names_.consumed.clear();
  }

  void tidy() {
    for_each_graph(model_.graph, [&](Graph& graph) {
      std::erase_if(graph.value_infos, [&](const ValueInfo& info) {
        return find_metadata(info.metadata, kInferred) || names_.dropped.contains(info.name);
      });
    });
  }

  Model& model_;
  const int64_t target_;
  OpsetNames names_;
  std::vector<std::string> refusals_;
  std::unordered_set<std::string> refused_;
  int changed_ = 0;
};

}  // namespace

int convert_opset(Model& model, int64_t target) {
  MC_CHECK(target >= kOldestConvertible && target <= kNewestConvertible,
           "opset {} cannot be converted to; only {} to {} can", target, kOldestConvertible,
           kNewestConvertible);
  Model converted = model;
  const int changed = OpsetConversion(converted, target).run();
  verify(converted);
  model = std::move(converted);
  return changed;
}

}  // namespace mc
