// Shape inference of a whole model: node by node, with constants folded on the way, so that shapes that
// exporters compute in the graph (Shape, Gather, Concat, Reshape) become numbers and symbols again.
#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/infer_node.h"
#include "mc/ops/infer_scope.h"
#include "mc/ops/op.h"

namespace mc {
namespace {

constexpr int kMaxDepth = 64;           // of functions and subgraphs in one another
constexpr int64_t kMaxElements = 1024;  // of a tensor that may be a shape
constexpr int kMaxVisits = 1'000'000;   // of nodes: functions that call each other twice grow exponentially

using Opsets = std::vector<std::pair<std::string, int64_t>>;

std::string_view canonical(std::string_view domain) {
  return domain == "ai.onnx" ? "" : domain;
}

bool is_integer(DType type) {
  static constexpr std::array kIntegers = {DType::kInt64, DType::kInt32,  DType::kInt16,  DType::kInt8,
                                           DType::kUInt8, DType::kUInt16, DType::kUInt32, DType::kUInt64};
  return std::find(kIntegers.begin(), kIntegers.end(), type) != kIntegers.end();
}

class Inference {
 public:
  explicit Inference(const Model& model) : model_(model) {}

  void infer_node(const Node& node, const Opsets& opsets, Scope& scope, int depth,
                  const std::function<const Type*(const std::string&)>& declared = nullptr);
  std::vector<Type> infer_body(const Graph& graph, const std::vector<Type>& inputs, const Opsets& opsets,
                               const Scope& outer, int depth);

 private:
  const Function* function_of(const Node& node) const;
  std::vector<Value> infer_function(const Function& function, const Node& node, const Scope& scope,
                                    int depth);

  const Model& model_;
  int visits_ = 0;
};

// One node's view of its scope.
class NodeContext : public InferContext {
 public:
  NodeContext(Inference& inference, const Node& node, const Opsets& opsets, int64_t opset, const Scope& scope,
              int depth)
      : results(node.outputs.size()),
        inference_(inference),
        node_(node),
        opsets_(opsets),
        opset_(opset),
        scope_(scope),
        depth_(depth) {}

  std::vector<Value> results;

  const Node& node() const override { return node_; }
  int64_t opset() const override { return opset_; }

  const Type* input(size_t i) const override {
    const Value* value = find(i);
    return value && value->type.kind != Type::Kind::kUnknown ? &value->type : nullptr;
  }

  const Tensor* constant(size_t i) const override {
    const Value* value = find(i);
    return value && value->constant ? &*value->constant : nullptr;
  }

  std::optional<Shape> shape_value(size_t i) const override {
    const Value* value = find(i);
    if (!value) return std::nullopt;
    if (value->elements) return value->elements;
    if (!value->constant || value->constant->count() > kMaxElements) return std::nullopt;
    if (!is_integer(value->constant->dtype) && value->constant->dtype != DType::kBool) return std::nullopt;
    Shape shape;
    for (int64_t element : value->constant->as_ints()) shape.push_back(element >= 0 ? Dim(element) : Dim());
    return shape;
  }

  void output(size_t i, Type type) override {
    if (i < results.size()) results[i].type = std::move(type);
  }

  void output_shape_value(size_t i, Shape elements) override {
    if (i < results.size()) results[i].elements = std::move(elements);
  }

  std::vector<Type> infer_subgraph(const Graph& subgraph, std::vector<Type> inputs) override {
    return inference_.infer_body(subgraph, inputs, opsets_, scope_, depth_ + 1);
  }

 private:
  const Value* find(size_t i) const {
    return i < node_.inputs.size() && !node_.inputs[i].empty() ? scope_.find(node_.inputs[i]) : nullptr;
  }

  Inference& inference_;
  const Node& node_;
  const Opsets& opsets_;
  int64_t opset_;
  const Scope& scope_;
  int depth_;
};

// Elements are kept of small integer tensors only (arithmetic on dims is integer arithmetic), and become a
// constant when all are numbers.
void settle_elements(Value& value) {
  if (!value.elements) return;
  const DType dtype = value.type.dtype;
  const auto dims = value.type.is_tensor() && value.type.shape ? known_dims(*value.type.shape) : std::nullopt;
  const bool fits = !dims || element_count(*value.type.shape) == static_cast<double>(value.elements->size());
  if ((!is_integer(dtype) && dtype != DType::kBool) || !fits) {
    value.elements.reset();
    return;
  }
  if (dtype == DType::kBool) {
    for (Dim& dim : *value.elements) dim = dim.known() ? Dim(dim.value != 0 ? 1 : 0) : Dim();
  }
  const auto numbers = known_dims(*value.elements);
  if (!numbers || !dims || value.constant) return;
  if (dtype == DType::kInt64) value.constant = Tensor::int64s(*dims, *numbers);
  if (dtype == DType::kInt32) {
    const std::vector<int32_t> narrow(numbers->begin(), numbers->end());
    value.constant = Tensor::of<int32_t>(dtype, *dims, narrow);
  }
}

int64_t version_of(const Opsets& opsets, std::string_view domain) {
  for (const auto& [name, version] : opsets) {
    if (canonical(name) == canonical(domain)) return version;
  }
  return 0;
}

const Function* Inference::function_of(const Node& node) const {
  for (const Function& function : model_.functions) {
    if (function.name == node.op_type && canonical(function.domain) == canonical(node.domain) &&
        function.overload == node.overload) {
      return &function;
    }
  }
  return nullptr;
}

void Inference::infer_node(const Node& node, const Opsets& opsets, Scope& scope, int depth,
                           const std::function<const Type*(const std::string&)>& declared) {
  MC_CHECK(++visits_ < kMaxVisits, "its functions and subgraphs expand to more than {} nodes", kMaxVisits);
  std::vector<Value> results(node.outputs.size());
  const int64_t version = version_of(opsets, node.domain);
  const Op* op = find_op(node.domain, node.op_type, version);
  const Function* function = op ? nullptr : function_of(node);
  with_context([&] { return node.label(); },
               [&] {
                 if (op && op->infer) {
                   NodeContext context(*this, node, opsets, version, scope, depth);
                   op->infer(context);
                   results = std::move(context.results);
                 } else if (function && depth < kMaxDepth) {
                   results = infer_function(*function, node, scope, depth);
                 }
               });
  for (size_t i = 0; i < results.size(); ++i) {
    const Type* type = declared ? declared(node.outputs[i]) : nullptr;
    if (type) results[i].type = refine(std::move(results[i].type), *type);
  }
  if (op) {
    std::vector<Type> types;
    for (const Value& value : results) types.push_back(value.type);
    if (auto constants = fold_node(*op, node, version, scope, types)) {
      for (size_t i = 0; i < results.size(); ++i) {
        results[i] = {
            Type::tensor((*constants)[i].dtype, to_shape((*constants)[i].dims)), (*constants)[i], {}};
      }
    }
  }
  for (size_t i = 0; i < results.size(); ++i) {
    settle_elements(results[i]);
    scope.set(node.outputs[i], std::move(results[i]));
  }
}

void add_constants(const Graph& graph, Scope& scope) {
  for (const Initializer& initializer : graph.initializers()) {
    Value value;
    if (initializer.sparse) {
      value.type =
          Type::tensor(initializer.sparse_value.values.dtype, to_shape(initializer.sparse_value.dims));
    } else {
      value.type = Type::tensor(initializer.tensor.dtype, to_shape(initializer.tensor.dims));
      value.constant = initializer.tensor;
    }
    scope.set(initializer.name, std::move(value));
  }
}

std::vector<Type> Inference::infer_body(const Graph& graph, const std::vector<Type>& inputs,
                                        const Opsets& opsets, const Scope& outer, int depth) {
  std::vector<Type> outputs;
  if (depth >= kMaxDepth) return std::vector<Type>(graph.outputs.size());
  Scope scope(&outer);
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Type given = i < inputs.size() ? inputs[i] : Type();
    scope.set(graph.inputs[i].name, {refine(given, graph.inputs[i].type), {}, {}});
  }
  add_constants(graph, scope);
  for (const Node& node : graph.nodes) infer_node(node, opsets, scope, depth);
  for (const ValueInfo& output : graph.outputs) {
    const Value* value = scope.find(output.name);
    outputs.push_back(refine(value ? value->type : Type(), output.type));
  }
  return outputs;
}

// The node as it stands in the body of a function whose attributes are now given.
Node with_attributes(Node node, const Function& function, const Node& call) {
  for (Attribute& attribute : node.attributes) {
    if (attribute.ref.empty()) continue;
    const Attribute* given = call.find(attribute.ref);
    for (const Attribute& otherwise : function.attribute_defaults) {
      if (!given && otherwise.name == attribute.ref) given = &otherwise;
    }
    if (!given) continue;
    const std::string name = attribute.name;
    attribute = *given;
    attribute.name = name;
    attribute.ref.clear();
  }
  // A reference to an attribute that was not given stands for no attribute.
  std::erase_if(node.attributes, [](const Attribute& attribute) { return !attribute.ref.empty(); });
  return node;
}

std::vector<Value> Inference::infer_function(const Function& function, const Node& call, const Scope& scope,
                                             int depth) {
  Scope body;
  for (size_t i = 0; i < function.inputs.size() && i < call.inputs.size(); ++i) {
    if (const Value* value = scope.find(call.inputs[i])) body.set(function.inputs[i], *value);
  }
  const Opsets& opsets = function.opset_imports.empty() ? model_.opset_imports : function.opset_imports;
  for (const Node& node : function.nodes)
    infer_node(with_attributes(node, function, call), opsets, body, depth + 1);
  std::vector<Value> results(call.outputs.size());
  for (size_t i = 0; i < results.size() && i < function.outputs.size(); ++i) {
    if (const Value* value = body.find(function.outputs[i])) results[i] = *value;
  }
  return results;
}

// What feeds say of the symbols in the declared types of their inputs.
using Symbols = std::unordered_map<std::string, int64_t>;

void substitute(Type& type, const Symbols& symbols) {
  if (!type.is_tensor() || !type.shape) return;
  for (Dim& dim : *type.shape) {
    const auto found = dim.known() ? symbols.end() : symbols.find(dim.symbol);
    if (found != symbols.end()) dim.value = found->second, dim.symbol.clear();
  }
}

Symbols apply_feeds(Graph& graph, const std::vector<std::pair<std::string, Type>>& feeds) {
  Symbols symbols;
  for (const auto& [name, type] : feeds) {
    const auto input =
        std::find_if(graph.inputs.begin(), graph.inputs.end(),
                     [&, &wanted = name](const ValueInfo& info) { return info.name == wanted; });
    MC_CHECK(input != graph.inputs.end(), "the model has no input '{}'", name);
    const Type declared = input->type;
    if (declared.shape && type.shape) {
      MC_CHECK(declared.shape->size() == type.shape->size(), "input '{}' is {}, which {} does not fit", name,
               to_string(declared), to_string(type));
      for (size_t i = 0; i < type.shape->size(); ++i) {
        const Dim& dim = (*declared.shape)[i];
        if (!dim.symbol.empty() && (*type.shape)[i].known()) symbols[dim.symbol] = (*type.shape)[i].value;
      }
    }
    input->type = refine(type, declared);
  }
  for (ValueInfo& input : graph.inputs) substitute(input.type, symbols);
  return symbols;
}

constexpr std::string_view kNamedHere = "mc?";  // what names of dims begin with that inference gives

// Dims that nothing is known of get a name each, so that what is computed from them can be told to be as
// long.
void name_dims(Type* type, int64_t& names) {
  if (!type || !type->is_tensor() || !type->shape) return;
  for (Dim& dim : *type->shape) {
    if (!dim.known() && dim.symbol.empty()) dim.symbol = fmt::format("{}{}", kNamedHere, names++);
  }
}

Type without_names(Type type) {
  if (!type.is_tensor() || !type.shape) return type;
  for (Dim& dim : *type.shape) {
    if (dim.symbol.starts_with(kNamedHere)) dim = Dim();
  }
  return type;
}

// The types and values of the outermost graph's values. `fed`: inputs have other shapes than the file's.
Scope infer_outermost(const Model& model, const Symbols& symbols, bool fed) {
  const Graph& graph = model.graph;
  // With other input shapes than the file's, its numbers for what follows no longer hold; without, they help
  // where inference knows nothing.
  std::unordered_map<std::string, Type> declared;
  for (const auto* infos : {&graph.outputs, &graph.value_infos}) {
    for (const ValueInfo& info : *infos) {
      Type type = info.type;
      if (fed && type.is_tensor() && type.shape) {
        for (Dim& dim : *type.shape) dim.value = -1;
      }
      substitute(type, symbols);
      declared.emplace(info.name, std::move(type));
    }
  }
  const auto declared_type = [&](const std::string& name) -> const Type* {
    const auto found = declared.find(name);
    return found == declared.end() ? nullptr : &found->second;
  };
  Scope scope;
  for (const ValueInfo& input : graph.inputs) scope.set(input.name, {input.type, {}, {}});
  add_constants(graph, scope);
  Inference inference(model);
  int64_t names = 0;
  for (const Node& node : graph.nodes) {
    inference.infer_node(node, model.opset_imports, scope, 0, declared_type);
    for (const std::string& output : node.outputs) {
      if (Value* value = output.empty() ? nullptr : scope.find_own(output)) name_dims(&value->type, names);
    }
  }
  return scope;
}

void write_shapes(Model& model, const std::vector<std::pair<std::string, Type>>& feeds, bool named) {
  Graph& graph = model.graph;
  const Symbols symbols = apply_feeds(graph, feeds);
  const Scope scope = infer_outermost(model, symbols, !feeds.empty());
  std::unordered_map<std::string, size_t> known;
  for (size_t i = 0; i < graph.value_infos.size(); ++i) known.emplace(graph.value_infos[i].name, i);
  std::unordered_map<std::string, bool> written;
  for (ValueInfo& output : graph.outputs) {
    written[output.name] = true;
    const Value* value = scope.find(output.name);
    if (value && value->type.kind != Type::Kind::kUnknown)
      output.type = refine(without_names(value->type), output.type);
  }
  for (const Node& node : graph.nodes) {
    for (const std::string& name : node.outputs) {
      const Value* value = name.empty() || written[name] ? nullptr : scope.find(name);
      if (!value || value->type.kind == Type::Kind::kUnknown) continue;
      const auto [entry, is_new] = known.try_emplace(name, graph.value_infos.size());
      if (is_new) graph.value_infos.emplace_back().name = name;
      graph.value_infos[entry->second].type = named ? value->type : without_names(value->type);
    }
  }
}

}  // namespace

void infer_shapes(Model& model, const std::vector<std::pair<std::string, Type>>& feeds) {
  write_shapes(model, feeds, /*named=*/false);
}

void infer_named_shapes(Model& model) {
  write_shapes(model, {}, /*named=*/true);
}

std::unordered_map<std::string, Tensor> known_values(const Model& model) {
  const Scope scope = infer_outermost(model, {}, false);
  std::unordered_map<std::string, Tensor> values;
  for (const Node& node : model.graph.nodes) {
    for (const std::string& name : node.outputs) {
      const Value* value = name.empty() ? nullptr : scope.find(name);
      if (value && value->constant) values.emplace(name, *value->constant);
    }
  }
  return values;
}

std::vector<Type> infer_outputs(const Node& node, int64_t opset, const std::vector<const Tensor*>& inputs) {
  std::vector<Type> types(node.outputs.size());
  const Op* op = find_op(node.domain, node.op_type, opset);
  if (!op || !op->infer) return types;
  Scope scope;
  for (size_t i = 0; i < inputs.size() && i < node.inputs.size(); ++i) {
    if (!inputs[i]) continue;
    scope.set(node.inputs[i], {Type::tensor(inputs[i]->dtype, to_shape(inputs[i]->dims)), *inputs[i], {}});
  }
  const Model alone;
  const Opsets opsets;
  Inference inference(alone);
  NodeContext context(inference, node, opsets, opset, scope, 0);
  op->infer(context);
  for (size_t i = 0; i < types.size(); ++i) types[i] = std::move(context.results[i].type);
  return types;
}

}  // namespace mc
