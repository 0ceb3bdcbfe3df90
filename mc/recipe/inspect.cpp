#include "mc/recipe/inspect.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/parameter_use.h"
#include "mc/module/state.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"
#include "mc/prune/pattern.h"
#include "mc/prune/structure.h"
#include "mc/quantize/placement.h"
#include "mc/recipe/imported.h"
#include "mc/recipe/inspect_groups.h"

namespace mc {
namespace {

bool is_layer(const Node& node) {
  return node.is("Conv") || node.is("ConvTranspose") || node.is("Gemm") || node.is("MatMul");
}

std::string port_text(const ValueInfo& value) {
  return value.name + " " + to_string(value.type);
}

class Inspector {
 public:
  Inspector(const std::filesystem::path& file, const InputShapes& shapes)
      : model_(read_onnx(file)), uses_(model_.graph), shapes_(shapes) {
    for (const auto& [name, shape] : shapes_) check_shape(name, shape);
    result_.file = file;
  }

  Inspection run() {
    describe();
    tidy();
    find_layers();
    add_costs();
    add_roles();
    add_quantization();
    add_groups();
    add_batch_norm_note();
    return std::move(result_);
  }

 private:
  void describe() {
    result_.opset = model_.opset();
    result_.producer = model_.producer_name;
    for (const ValueInfo* input : model_.graph.real_inputs()) result_.inputs.push_back(port_text(*input));
    for (const ValueInfo& output : model_.graph.outputs) result_.outputs.push_back(port_text(output));
    for_each_graph(static_cast<const Graph&>(model_.graph), [&](const Graph& graph) {
      result_.nodes += static_cast<int64_t>(graph.nodes.size());
      for (const Node& node : graph.nodes) {
        ++result_.operators[node.domain.empty() ? node.op_type : node.domain + "." + node.op_type];
      }
    });
    result_.unsupported = unsupported_ops(model_);
    if (!result_.unsupported.empty()) note("cannot be trained: some operators are not supported");
  }

  // From here on it is looked at as training would see it.
  void tidy() {
    try {
      Model tidied = model_;
      tidy_import(tidied);
      model_ = std::move(tidied);
      uses_ = Uses(model_.graph);
    } catch (const Error& error) {
      note(fmt::format("shapes are unknown: {}", error.what()));
    }
  }

  void note(std::string text) { result_.notes.push_back(std::move(text)); }

  // Whether output 0 holds what input 0 holds, moved or rounded.
  bool passes_weights_on(const Node& node) const {
    const Op* op = find_op(node.domain, node.op_type, model_.opset(node.domain));
    return (op && op->passes_roles) || node.op_type == "DequantizeLinear" ||
           node.op_type == "QuantizeLinear" || node.op_type == "FakeQuantize" ||
           node.op_type == "FoldedWeight";
  }

  // The initializer that reaches the node's weight port, directly or through such nodes.
  const Initializer* weight_of(const Node& node) const {
    std::string value = node.input(1);
    for (int depth = 0; depth < 8; ++depth) {
      if (const Initializer* found = model_.graph.initializer(value)) return found;
      const std::optional<size_t> producer = uses_.producer(value);
      if (!producer || !passes_weights_on(model_.graph.nodes[*producer])) return nullptr;
      value = model_.graph.nodes[*producer].input(0);
    }
    return nullptr;
  }

  // Of floats that stand as they are multiplied by.
  std::string pattern_of(const Initializer& weight) const {
    if (weight.tensor.dtype != DType::kFloat || weight.tensor.dims.size() < 2) return "";
    const ParameterUse use = parameter_use(model_, weight.name);
    const ParameterView view{weight.name, to_aten(weight.tensor, false), use.kind, use.channel_axis};
    const WeightAxes axes = weight_axes(view);
    return axes.output == axes.input ? "" : pattern_name(find_pattern(view.tensor, axes.output, axes.input));
  }

  void find_layers() {
    double zeros = 0, elements = 0;
    for (const Node& node : model_.graph.nodes) {
      if (!is_layer(node)) continue;
      InspectedLayer layer;
      layer.name = node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
      layer.op = node.op_type;
      if (const Initializer* weight = weight_of(node); weight && !weight->sparse) {
        layer.weight = weight->name;
        layer.shape = weight->tensor.dims;
        layer.parameters = weight->tensor.count();
        const std::vector<double> values = weight->tensor.as_doubles();
        const auto zero = static_cast<double>(std::count(values.begin(), values.end(), 0.0));
        const auto count = static_cast<double>(values.size());
        layer.sparsity = values.empty() ? 0 : zero / count;
        layer.pattern = pattern_of(*weight);
        zeros += zero;
        elements += count;
      }
      result_.layers.push_back(std::move(layer));
    }
    result_.sparsity = elements > 0 ? zeros / elements : 0;
  }

  void check_shape(const std::string& name, const std::vector<int64_t>& shape) const {
    std::vector<std::string> names;
    for (const ValueInfo* input : model_.graph.real_inputs()) {
      names.push_back(input->name);
      if (input->name != name) continue;
      const bool fits = !input->type.shape || input->type.shape->size() == shape.size();
      MC_CHECK(fits, "input '{}' is {}, which has another number of dims than [{}]", name,
               to_string(input->type), fmt::join(shape, ","));
      return;
    }
    fail("the model has no input '{}'{}", name, did_you_mean(name, names));
  }

  // The type that costs are counted for; adds the names of dims that stay open.
  Type fed_type(const ValueInfo& input, std::vector<std::string>& open) const {
    Type type = input.type;
    if (!type.is_tensor()) return type;
    if (const auto given = shapes_.find(input.name); given != shapes_.end()) {
      type.shape = to_shape(given->second);
    } else if (type.shape && !type.shape->empty()) {
      type.shape->front() = Dim(1);
    }
    for (const Dim& dim : type.shape.value_or(Shape())) {
      const std::string name = dim.symbol.empty() ? "of '" + input.name + "'" : dim.symbol;
      if (!dim.known() && std::ranges::find(open, name) == open.end()) open.push_back(name);
    }
    return type;
  }

  void add_costs() {
    try {
      Model model = model_;
      std::vector<std::pair<std::string, Type>> feeds;
      std::vector<std::string> open;
      for (const ValueInfo* input : model.graph.real_inputs())
        feeds.emplace_back(input->name, fed_type(*input, open));
      if (!open.empty()) {
        note(fmt::format("costs count open sizes ({}) as 1: give them with --shape", join(open, ", ")));
      }
      infer_shapes(model, feeds);
      result_.costs = model_costs(model);
      for (const NodeCost& cost : result_.costs) {
        result_.macs += cost.macs;
        result_.activation_bytes += cost.activation_bytes;
        for (InspectedLayer& layer : result_.layers) {
          if (layer.name != cost.node) continue;
          layer.macs = cost.macs;
          layer.activation_bytes = cost.activation_bytes;
        }
      }
    } catch (const Error& error) {
      note(fmt::format("shapes are unknown: {}", error.what()));
    }
  }

  void add_roles() {
    Model model = model_;
    try {
      const Roles roles = assign_roles(model);
      for (const auto& [name, role] : roles.of) {
        const Initializer* found = role == Role::kWeight ? model.graph.initializer(name) : nullptr;
        if (found) result_.parameters += found->tensor.count();
      }
      for (const Roles::Untied& untied : roles.untied) {
        note(fmt::format("'{}' was a copy of '{}' and becomes a tensor of its own: {}", untied.copy,
                         untied.source, untied.why));
      }
      for (InspectedLayer& layer : result_.layers) {
        auto role = roles.of.find(layer.weight);
        layer.prunable = role != roles.of.end() && role->second == Role::kWeight;
        if (layer.weight.empty()) {
          layer.prune_obstacle = "it has no weight, it multiplies two activations";
        } else if (!layer.prunable) {
          layer.prune_obstacle = "its weight does not train: it is constant or already integer";
        }
      }
    } catch (const Error& error) {
      note(fmt::format("cannot be trained: {}", error.what()));
    }
  }

  void add_quantization() {
    try {
      const Placement placement = place(model_, QuantizeOptions{});
      for (const LayerQuantization& report : placement.report) {
        for (InspectedLayer& layer : result_.layers) {
          if (layer.name != report.node) continue;
          layer.quantizable = report.quantized;
          layer.quantize_obstacle = report.reason;
        }
      }
    } catch (const Error& error) {
      for (InspectedLayer& layer : result_.layers) layer.quantize_obstacle = error.what();
      note(fmt::format("cannot be quantized: {}", error.what()));
    }
  }

  void add_groups() {
    try {
      result_.groups = inspect_groups(model_, result_.costs);
    } catch (const Error& error) {
      note(fmt::format("channels cannot be cut: {}", error.what()));
    }
    try {
      result_.blocks = inspect_blocks(model_, result_.costs);
    } catch (const Error& error) {
      note(fmt::format("residual blocks cannot be found: {}", error.what()));
    }
  }

  void add_batch_norm_note() {
    const auto& operators = result_.operators;
    const bool convolves = operators.count("Conv") > 0;
    if (!convolves || operators.count("BatchNormalization") ||
        operators.count("mc.FoldedBatchNormalization")) {
      return;
    }
    note(
        "it has convolutions and no batch norm: if it was folded into them, training goes on without it. "
        "torch.onnx.export(..., dynamo=True, optimize=False) of a module in train() keeps batch norm");
  }

  Model model_;
  Uses uses_;
  const InputShapes& shapes_;
  Inspection result_;
};

Json layer_json(const InspectedLayer& layer) {
  return {{"name", layer.name},
          {"op", layer.op},
          {"weight", layer.weight},
          {"shape", layer.shape},
          {"parameters", layer.parameters},
          {"macs", layer.macs},
          {"activation_bytes", layer.activation_bytes},
          {"sparsity", layer.sparsity ? Json(*layer.sparsity) : Json()},
          {"pattern", layer.pattern},
          {"quantizable", layer.quantizable},
          {"quantize_obstacle", layer.quantize_obstacle},
          {"prunable", layer.prunable},
          {"prune_obstacle", layer.prune_obstacle}};
}

Json group_json(const InspectedGroup& group) {
  return {{"name", group.name},
          {"channels", group.channels},
          {"parameters", group.parameters},
          {"parameters_saved", group.parameters_saved},
          {"macs_saved", group.macs_saved},
          {"inexact", group.inexact},
          {"obstacle", group.obstacle}};
}

}  // namespace

Inspection inspect_model(const std::filesystem::path& file, const InputShapes& shapes) {
  return with_context([&] { return file.string(); }, [&] { return Inspector(file, shapes).run(); });
}

Json to_json(const Inspection& inspection) {
  Json layers = Json::array();
  for (const InspectedLayer& layer : inspection.layers) layers.push_back(layer_json(layer));
  Json costs = Json::array(), groups = Json::array(), blocks = Json::array();
  for (const InspectedBlock& block : inspection.blocks) {
    blocks.push_back({{"name", block.name},
                      {"nodes", block.nodes},
                      {"parameters_saved", block.parameters_saved},
                      {"macs_saved", block.macs_saved}});
  }
  for (const InspectedGroup& group : inspection.groups) groups.push_back(group_json(group));
  for (const NodeCost& cost : inspection.costs) {
    costs.push_back({{"node", cost.node},
                     {"op", cost.op_type},
                     {"macs", cost.macs},
                     {"parameters", cost.parameters},
                     {"activation_bytes", cost.activation_bytes}});
  }
  return {{"schema", "model-compression/inspect/1"},
          {"file", inspection.file.string()},
          {"opset", inspection.opset},
          {"producer", inspection.producer},
          {"inputs", inspection.inputs},
          {"outputs", inspection.outputs},
          {"nodes", inspection.nodes},
          {"parameters", inspection.parameters},
          {"macs", inspection.macs},
          {"activation_bytes", inspection.activation_bytes},
          {"sparsity", inspection.sparsity},
          {"operators", inspection.operators},
          {"unsupported", inspection.unsupported},
          {"layers", layers},
          {"groups", groups},
          {"blocks", blocks},
          {"costs", costs},
          {"notes", inspection.notes}};
}

}  // namespace mc
