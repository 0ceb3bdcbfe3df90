#include "mc/quantize/extract.h"

#include <algorithm>
#include <array>
#include <set>

#include "mc/base/error.h"
#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

// The nodes that `outputs` need, in the graph's order, and nothing before `inputs`.
std::vector<Node> needed_nodes(const Graph& graph, const std::vector<std::string>& inputs,
                               const std::vector<std::string>& outputs) {
  const Uses uses(graph);
  std::set<std::string> known(inputs.begin(), inputs.end());
  std::set<size_t> nodes;
  std::vector<std::string> open = outputs;
  while (!open.empty()) {
    const std::string value = std::move(open.back());
    open.pop_back();
    if (!known.insert(value).second || graph.initializer(value)) continue;
    const auto producer = uses.producer(value);
    MC_CHECK(producer, "extract: value '{}' does not follow from the inputs given", value);
    nodes.insert(*producer);
    for (const std::string& read : reads(graph.nodes[*producer])) open.push_back(read);
  }
  std::vector<Node> found;
  found.reserve(nodes.size());
  for (const size_t node : nodes) found.push_back(graph.nodes[node]);
  return found;
}

// An output that is an input too goes through an Identity, so that every output has a node.
Model extract_between(const Model& model, std::vector<ValueInfo> inputs,
                      const std::vector<std::string>& outputs) {
  std::vector<std::string> names;
  names.reserve(inputs.size());
  for (const ValueInfo& input : inputs) names.push_back(input.name);
  Model piece;
  piece.ir_version = model.ir_version;
  piece.opset_imports = model.opset_imports;
  piece.functions = model.functions;
  Graph& graph = piece.graph;
  graph.name = "piece";
  graph.inputs = std::move(inputs);
  graph.nodes = needed_nodes(model.graph, names, outputs);
  std::set<std::string> taken(names.begin(), names.end());
  for (const Node& node : graph.nodes) {
    for (const std::string& read : reads(node)) {
      const Initializer* initializer = model.graph.initializer(read);
      if (initializer && taken.insert(read).second) graph.add_initializer(read, initializer->tensor);
    }
  }
  for (const std::string& output : outputs) {
    ValueInfo info;
    info.name = output;
    if (taken.count(output)) {
      Node identity;
      identity.op_type = "Identity";
      identity.inputs = {output};
      identity.outputs = {info.name = graph.unique_value_name(output + "_passed")};
      identity.name = graph.unique_node_name(info.name);
      graph.nodes.push_back(std::move(identity));
    }
    graph.outputs.push_back(std::move(info));
  }
  return piece;
}

// As the graph's inputs declare it, else float.
DType element_type(const Graph& graph, const std::string& value) {
  const auto declared = std::ranges::find(graph.inputs, value, &ValueInfo::name);
  return declared == graph.inputs.end() ? DType::kFloat : declared->type.dtype;
}

}  // namespace

Model extract(const Model& model, const std::vector<std::string>& inputs,
              const std::vector<std::string>& outputs, const std::vector<DType>& types) {
  std::vector<ValueInfo> infos;
  for (size_t i = 0; i < inputs.size(); ++i) {
    ValueInfo info;
    info.name = inputs[i];
    info.type = Type::tensor(i < types.size() ? types[i] : element_type(model.graph, inputs[i]));
    infos.push_back(std::move(info));
  }
  return extract_between(model, std::move(infos), outputs);
}

Model extract_prefix(const Model& model, const std::vector<std::string>& outputs) {
  std::vector<ValueInfo> infos;
  for (const ValueInfo* input : model.graph.real_inputs()) infos.push_back(*input);
  return extract_between(model, std::move(infos), outputs);
}

void set_quantizing(Model& model, bool activations, bool weights) {
  for (const Node& node : model.graph.nodes) {
    if (!node.is("FakeQuantize", "mc")) continue;
    const bool quantizes = quantizes_activation(node) ? activations : weights;
    const std::array<int64_t, 2> flags = {0, quantizes ? 1 : 0};
    model.graph.set_initializer(node.inputs[5], Tensor::int64s({2}, flags));
  }
}

}  // namespace mc
