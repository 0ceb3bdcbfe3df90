#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "mc/ops/infer_helpers.h"
#include "mc/ops/op.h"

namespace mc {
namespace {

constexpr size_t kMostPorts = 16;  // that any operator's cost depends on
constexpr int kMaxViews = 64;      // views on views: more is no model that anybody trains

// Types of all values by name: Graph::type_of searches.
using Types = std::unordered_map<std::string, Type>;

Types types_of(const Graph& graph) {
  Types types;
  for (const auto* infos : {&graph.inputs, &graph.outputs, &graph.value_infos}) {
    for (const ValueInfo& info : *infos) types.emplace(info.name, info.type);
  }
  for (const Initializer& initializer : graph.initializers()) {
    types[initializer.name] = Type::tensor(initializer.tensor.dtype, to_shape(initializer.tensor.dims));
  }
  return types;
}

Shape shape_of(const Types& types, const std::string& value) {
  const auto type = types.find(value);
  return type != types.end() && type->second.shape ? *type->second.shape : Shape();
}

double bytes_of(const Types& types, const std::string& value) {
  const auto type = types.find(value);
  if (type == types.end() || !type->second.is_tensor() || !type->second.shape) return 0;
  return element_count(*type->second.shape) * dtype_bits(type->second.dtype) / 8.0;
}

// The initializer behind a value: itself, or what a chain of views of one input reads.
const Initializer* initializer_behind(const Graph& graph, const Uses& uses, const Model& model,
                                      std::string value) {
  for (int views = 0; views <= kMaxViews; ++views) {
    if (const Initializer* found = graph.initializer(value)) return found;
    const auto producer = uses.producer(value);
    if (!producer) return nullptr;
    const Node& node = graph.nodes[*producer];
    const Op* op = find_op(node.domain, node.op_type, model.opset(node.domain));
    const bool looks_through = op && (op->passes_roles || node.op_type == "DequantizeLinear" ||
                                      node.op_type == "QuantizeLinear" || node.op_type == "FakeQuantize");
    if (!looks_through || node.inputs.empty()) return nullptr;
    value = node.inputs[0];
  }
  return nullptr;
}

}  // namespace

std::vector<NodeCost> model_costs(const Model& model) {
  const Graph& graph = model.graph;
  const Uses uses(graph);
  const Types types = types_of(graph);
  std::unordered_set<std::string> counted;  // a shared parameter counts where it is met first
  std::vector<NodeCost> costs;
  for (const Node& node : graph.nodes) {
    NodeCost cost;
    cost.node = node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
    cost.op_type = node.op_type;
    for (const std::string& output : node.outputs) cost.activation_bytes += bytes_of(types, output);
    if (const Op* op = find_op(node.domain, node.op_type, model.opset(node.domain))) {
      std::vector<Shape> inputs;
      std::vector<Shape> outputs;
      for (const std::string& input : node.inputs) inputs.push_back(shape_of(types, input));
      for (const std::string& output : node.outputs) outputs.push_back(shape_of(types, output));
      // A broken node may lack inputs and outputs that its operator counts on.
      inputs.resize(std::max(inputs.size(), kMostPorts));
      outputs.resize(std::max(outputs.size(), kMostPorts));
      if (op->macs) cost.macs = op->macs(node, inputs, outputs);
      for (size_t i = 0; i < node.inputs.size() && !op->passes_roles; ++i) {
        if (op->role(i) != Role::kWeight || node.inputs[i].empty()) continue;
        const Initializer* weight = initializer_behind(graph, uses, model, node.inputs[i]);
        if (weight && counted.insert(weight->name).second) {
          cost.parameters += static_cast<double>(weight->tensor.count());
        }
      }
    }
    costs.push_back(std::move(cost));
  }
  return costs;
}

}  // namespace mc
