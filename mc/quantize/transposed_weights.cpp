#include "mc/quantize/transposed_weights.h"

#include <algorithm>
#include <set>

#include <ATen/ATen.h>

#include "mc/ops/slot.h"
#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

bool swaps_axes(const Node& node) {
  return node.is("Transpose") && node.get_ints("perm", {1, 0}) == std::vector<int64_t>{1, 0};
}

bool is_matrix(const Initializer* weight) {
  return weight && !weight->sparse && weight->tensor.dtype == DType::kFloat &&
         weight->tensor.dims.size() == 2;
}

Tensor transposed_constant(const Tensor& tensor) {
  Tensor result = to_constant(to_aten(tensor, false).t().contiguous());
  result.metadata = tensor.metadata;
  return result;
}

void flip_axis(Node& quantizer) {
  const int64_t axis = quantizer.get_int("axis", -1);
  if (axis >= 0) quantizer.set({"axis", 1 - axis});
}

// All that reads the weight, where that is Transposes for the second operand of MatMul alone.
std::vector<size_t> transposes_of(const Graph& graph, const Uses& uses, const std::string& weight) {
  std::vector<size_t> found;
  if (uses.is_output(weight)) return {};
  for (const Uses::Use& use : uses.consumers(weight)) {
    if (use.input == Uses::npos || !swaps_axes(graph.nodes[use.node])) return {};
    const std::string& output = graph.nodes[use.node].outputs[0];
    const bool multiplies = std::ranges::all_of(uses.consumers(output), [&](const Uses::Use& reader) {
      return reader.input == 1 && graph.nodes[reader.node].is("MatMul");
    });
    if (!multiplies || uses.is_output(output)) return {};
    found.push_back(use.node);
  }
  return found;
}

void erase_nodes(Graph& graph, const std::set<size_t>& indices) {
  size_t index = 0;
  std::erase_if(graph.nodes, [&](const Node&) { return indices.contains(index++); });
}

}  // namespace

std::vector<TransposedWeight> take_transposes(Graph& graph) {
  const Uses uses(graph);
  std::vector<TransposedWeight> taken;
  std::set<size_t> gone;
  for (const Initializer& initializer : graph.initializers()) {
    const std::string& name = initializer.name;
    if (!is_matrix(&initializer)) continue;
    const std::vector<size_t> transposes = transposes_of(graph, uses, name);
    if (transposes.empty()) continue;
    taken.push_back({graph.nodes[transposes[0]], initializer.tensor});
    gone.insert(transposes.begin(), transposes.end());
  }
  for (const size_t index : gone) {
    const Node transpose = graph.nodes[index];
    graph.replace_uses(transpose.outputs[0], transpose.inputs[0]);
  }
  for (const TransposedWeight& weight : taken)
    graph.set_initializer(weight.transpose.inputs[0], transposed_constant(weight.rows));
  erase_nodes(graph, gone);
  return taken;
}

void give_transposes_back(Graph& graph, const std::vector<TransposedWeight>& weights) {
  for (const TransposedWeight& weight : weights) {
    Node transpose = weight.transpose;
    const std::string name = transpose.inputs[0];
    graph.set_initializer(name, weight.rows);
    const auto quantizer = std::ranges::find_if(
        graph.nodes, [&](const Node& node) { return is_quantizer(node) && node.inputs[0] == name; });
    if (quantizer == graph.nodes.end()) {
      graph.replace_uses(name, transpose.outputs[0]);
    } else {
      flip_axis(*quantizer);
      transpose.outputs[0] = quantizer->outputs[0];
      quantizer->outputs[0] = transpose.inputs[0] = graph.unique_value_name(quantizer->outputs[0] + "_rows");
    }
    graph.nodes.push_back(std::move(transpose));
  }
  if (!weights.empty()) graph.sort();
}

void fold_quantized_transposes(Graph& graph) {
  const Uses uses(graph);
  std::set<size_t> gone;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& transpose = graph.nodes[i];
    const auto producer = swaps_axes(transpose) ? uses.producer(transpose.inputs[0]) : std::nullopt;
    if (!producer || uses.is_output(transpose.inputs[0])) continue;
    Node& quantizer = graph.nodes[*producer];
    if (!quantizer.is("FakeQuantize", "mc") || quantizes_activation(quantizer)) continue;
    const std::string& weight = quantizer.inputs[0];
    const Initializer* rows = graph.initializer(weight);
    const bool alone = uses.consumers(weight).size() == 1 && uses.consumers(transpose.inputs[0]).size() == 1;
    if (!is_matrix(rows) || !alone || quantizer.get_int("block_size", 0) > 0) continue;
    graph.set_initializer(weight, transposed_constant(rows->tensor));
    flip_axis(quantizer);
    quantizer.outputs[0] = transpose.outputs[0];
    gone.insert(i);
  }
  erase_nodes(graph, gone);
}

}  // namespace mc
