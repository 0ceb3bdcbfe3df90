#include "mc/quantize/half.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"
#include "mc/quantize/check_float.h"
#include "mc/quantize/keep_float.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

constexpr int64_t kBFloat16Opset = 22;

// What is known of the values of one graph while it is converted.
struct HalfScope {
  Graph& graph;
  HalfScope* outer;
  std::map<std::string, Type> types;
  std::map<std::string, DType> now = {};          // type of each float32 value once its maker was converted
  std::map<std::string, std::string> casts = {};  // the same value in the other type
  std::vector<Node> made = {};
};

class HalfConverter {
 public:
  HalfConverter(const Model& model, const HalfOptions& options)
      : options_(options), model_(model), half_(options.type) {
    MC_CHECK(half_ == DType::kFloat16 || half_ == DType::kBFloat16,
             "models are converted to float16 or bfloat16, not to {}", dtype_name(half_));
    check_patterns(model_.graph, "keep_float", options.keep_float);
    if (half_ == DType::kBFloat16 && model_.opset() < kBFloat16Opset) convert_opset(model_, kBFloat16Opset);
    apply_passes(model_, {"inline_functions", "inference_form", "infer_shapes"});
    for_each_graph(model_.graph, [&](const Graph& graph) {
      for (const ValueInfo& input : graph.inputs) names_.insert(input.name);
      for (const Initializer& initializer : graph.initializers()) names_.insert(initializer.name);
      for (const Node& node : graph.nodes) {
        names_.insert(node.outputs.begin(), node.outputs.end());
        names_.insert(node.name);
      }
    });
  }

  HalfModel run() {
    const at::NoGradGuard no_grad;
    check_float(model_.graph);
    convert(model_.graph, nullptr, false);
    MC_CHECK(!report_.empty(), "the model has no float32 values; there is nothing to convert");
    std::vector<Graph*> graphs;
    for_each_graph(model_.graph, [&](Graph& graph) { graphs.push_back(&graph); });
    for (auto graph = graphs.rbegin(); graph != graphs.rend(); ++graph) {
      (*graph)->value_infos.clear();
      (*graph)->drop_unused();
    }
    apply_passes(model_, {"infer_shapes", "drop_identity", "drop_unused"});
    return {std::move(model_), std::move(report_), std::move(clamped_)};
  }

 private:
  static const Type* type_in(const HalfScope* scope, const std::string& value) {
    for (; scope; scope = scope->outer) {
      if (const auto found = scope->types.find(value); found != scope->types.end()) return &found->second;
    }
    return nullptr;
  }

  static bool is_float32(const Type* type) {
    return type && type->is_tensor() && type->dtype == DType::kFloat;
  }

  std::string fresh(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !names_.insert(name).second; ++i) name = wanted + "_" + std::to_string(i);
    return name;
  }

  // infer_shapes writes the types of the outermost graph only: a subgraph is inferred as one, with what it
  // captures as inputs.
  std::vector<ValueInfo> inferred(const Graph& graph, const HalfScope* outer) const {
    if (!outer) return graph.value_infos;
    Model part;
    part.opset_imports = model_.opset_imports;
    part.graph = graph;
    for (const std::string& name : captures(graph)) {
      const Type* type = type_in(outer, name);
      if (!type) continue;
      part.graph.inputs.emplace_back();
      part.graph.inputs.back().name = name;
      part.graph.inputs.back().type = *type;
    }
    infer_shapes(part);
    return std::move(part.graph.value_infos);
  }

  HalfScope open(Graph& graph, HalfScope* outer) const {
    HalfScope scope{graph, outer, {}};
    for (const ValueInfo& info : inferred(graph, outer)) scope.types[info.name] = info.type;
    for (const ValueInfo& info : graph.outputs) scope.types.try_emplace(info.name, info.type);
    for (const ValueInfo& info : graph.inputs) scope.types[info.name] = info.type;
    for (const Initializer& initializer : graph.initializers()) {
      scope.types[initializer.name] = Type::tensor(initializer.tensor.dtype);
      if (initializer.tensor.dtype == DType::kFloat) scope.now[initializer.name] = DType::kFloat;
    }
    return scope;
  }

  // `keep`: everything in it stays float32.
  void convert(Graph& graph, HalfScope* outer, bool keep) {
    HalfScope scope = open(graph, outer);
    const DType border = keep || (!outer && !options_.convert_io) ? DType::kFloat : half_;
    for (ValueInfo& input : graph.inputs) {
      if (!is_float32(&input.type)) continue;
      // A default that callers may override keeps its type.
      scope.now[input.name] = graph.initializer(input.name) ? DType::kFloat : border;
      input.type.dtype = scope.now[input.name];
    }
    std::vector<Node> old = std::move(graph.nodes);
    graph.nodes.clear();
    for (Node& node : old) convert_node(scope, std::move(node), keep);
    graph.nodes = std::move(scope.made);
    for (ValueInfo& output : graph.outputs) {
      if (scope.now.contains(output.name) || is_float32(type_in(&scope, output.name))) {
        convert_output(scope, output, border);
      }
    }
  }

  void convert_node(HalfScope& scope, Node node, bool keep) {
    const bool floats = has_floats(scope, node);
    std::string reason = keep ? "it is part of a node that keeps float32" : obstacle(scope, node);
    keep = !reason.empty();
    if (floats) report_.push_back({node.name, node.op_type, !keep, reason});
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const bool fixed = node.is("Resize") && (i == 2 || (i == 1 && half_ == DType::kBFloat16));
      if (!node.inputs[i].empty()) {
        node.inputs[i] = as(scope, node.inputs[i], keep || fixed ? DType::kFloat : half_);
      }
    }
    for (Attribute& attribute : node.attributes) {
      for (Graph* part : attribute.graphs()) convert(*part, &scope, keep);
    }
    if (floats && !keep) convert_attributes(node);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!is_float32(type_in(&scope, node.outputs[i]))) continue;
      const bool statistic = node.is("LayerNormalization") && i > 0;
      scope.now[node.outputs[i]] = keep || statistic ? DType::kFloat : half_;
    }
    scope.made.push_back(std::move(node));
  }

  static bool has_floats(const HalfScope& scope, const Node& node) {
    const auto is_float = [&](const std::string& value) { return is_float32(type_in(&scope, value)); };
    return std::ranges::any_of(node.inputs, is_float) || std::ranges::any_of(node.outputs, is_float);
  }

  // Why the node keeps float32; empty where it does not.
  std::string obstacle(const HalfScope& scope, const Node& node) const {
    if (fits_any(node, options_.keep_float)) return "named in keep_float";
    if (const char* reason = half_obstacle(node, half_)) return reason;
    for (const auto* values : {&node.inputs, &node.outputs}) {
      for (const std::string& value : *values) {
        if (value.empty()) continue;
        const Type* type = type_in(&scope, value);
        if (!type || (type->is_tensor() && type->dtype == DType::kUndefined)) {
          return fmt::format("the type of '{}' is not known", value);
        }
        if (!type->is_tensor()) return "it handles sequences or optionals";
      }
    }
    const Attribute* value = node.is("Constant") && !node.attributes.empty() ? &node.attributes[0] : nullptr;
    return value && value->kind == Attribute::Kind::kSparseTensor ? "it is a sparse constant" : "";
  }

  // Where an attribute says the type of the output.
  void convert_attributes(Node& node) {
    const auto set_value = [&](const Tensor& tensor) {
      node.attributes.clear();
      node.set({"value", to_half(node.outputs[0], tensor)});
    };
    if (node.is("Cast") && node.get_int("to", 0) == static_cast<int64_t>(DType::kFloat)) {
      node.set({"to", static_cast<int64_t>(half_)});
    } else if (node.is("Constant") || node.is("ConstantOfShape")) {
      const Tensor* tensor = node.get_tensor("value");
      if (tensor) {
        if (tensor->dtype == DType::kFloat) set_value(Tensor(*tensor));
      } else if (node.find("value_floats")) {
        const std::vector<float> values = node.get_floats("value_floats");
        set_value(Tensor::floats({static_cast<int64_t>(values.size())}, values));
      } else if (node.find("value_float")) {
        set_value(Tensor::scalar(node.get_float("value_float", 0)));
      } else if (node.is("ConstantOfShape")) {
        const float zero = 0;
        set_value(Tensor::floats({1}, std::span<const float>(&zero, 1)));
      }
    }
  }

  Tensor to_half(const std::string& name, const Tensor& tensor) {
    const at::Tensor x = to_aten(tensor, false);
    const bool is_float16 = half_ == DType::kFloat16;
    const double largest = is_float16 ? 65504 : static_cast<double>(std::numeric_limits<at::BFloat16>::max());
    const at::Tensor beyond = at::isfinite(x).logical_and(x.abs() > largest);
    const auto count = beyond.sum().item<int64_t>();
    if (count > 0) clamped_.push_back({name, count});
    at::Tensor y = at::where(beyond, x.clamp(-largest, largest), x).to(to_scalar_type(half_));
    if (y.numel() == 1 && y.item<double>() == 0 && x.item<double>() != 0) {
      const double least = std::ldexp(1.0, is_float16 ? -24 : -133);
      y = at::full_like(y, std::copysign(least, x.item<double>()));
    }
    return to_constant(y);
  }

  // The name of `value` in type `wanted`, where it was float32 in the model.
  std::string as(HalfScope& scope, const std::string& value, DType wanted) {
    HalfScope* owner = &scope;
    while (owner && !owner->now.contains(value)) {
      if (owner->types.contains(value)) return value;  // another type
      owner = owner->outer;
    }
    if (!owner || owner->now.at(value) == wanted) return value;
    const bool overridable =
        std::ranges::any_of(owner->graph.inputs, [&](const ValueInfo& input) { return input.name == value; });
    const Initializer* constant = overridable ? nullptr : owner->graph.initializer(value);
    HalfScope& place = constant ? *owner : scope;
    std::string& cast = place.casts[value];
    if (!cast.empty()) return cast;
    cast = fresh(value + "_" + std::string(dtype_name(wanted)));
    if (constant) {
      Tensor tensor = to_half(value, constant->tensor);
      owner->graph.add_initializer(cast, std::move(tensor));
    } else {
      place.made.push_back(make_cast(value, cast, wanted));
    }
    return cast;
  }

  Node make_cast(const std::string& from, const std::string& to, DType type) {
    Node cast;
    cast.op_type = "Cast";
    cast.name = fresh(to + "/Cast");
    cast.inputs = {from};
    cast.outputs = {to};
    cast.set({"to", static_cast<int64_t>(type)});
    return cast;
  }

  void convert_output(HalfScope& scope, ValueInfo& output, DType wanted) {
    Graph& graph = scope.graph;
    if (!scope.outer && graph.initializer(output.name)) return;  // a constant keeps its type
    output.type.dtype = wanted;
    scope.made.clear();
    const std::string name = output.name, converted = as(scope, name, wanted);
    for (Node& cast : scope.made) graph.nodes.push_back(std::move(cast));
    scope.made.clear();
    if (converted == name) return;
    if (scope.outer) {  // a subgraph's outputs go by position
      output.name = converted;
      return;
    }
    // The output keeps its name; what was made under it gets another.
    const std::string before = fresh(name + "_" + std::string(dtype_name(scope.now.at(name))));
    graph.replace_uses(name, before);
    graph.replace_uses(converted, name);
    for (Node& node : graph.nodes) {
      std::ranges::replace(node.outputs, name, before);
      std::ranges::replace(node.outputs, converted, name);
    }
    for (ValueInfo& other : graph.outputs) {
      if (other.name == before) other.name = name;
    }
  }

  const HalfOptions& options_;
  Model model_;
  DType half_;
  std::set<std::string> names_;
  std::vector<LayerQuantization> report_;
  std::vector<ClampedConstant> clamped_;
};

}  // namespace

HalfModel convert_to_half(const Model& model, const HalfOptions& options) {
  return HalfConverter(model, options).run();
}

}  // namespace mc
