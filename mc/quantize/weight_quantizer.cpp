#include "mc/quantize/weight_quantizer.h"

#include <ATen/ATen.h>

#include "mc/ops/slot.h"
#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

at::Tensor constant_values(const Graph& graph, const std::string& name) {
  return to_aten(graph.initializer(name)->tensor, false);
}

// What batch norm does to the weight (FoldedWeight, mc/ops/folded_batch_norm.cpp).
at::Tensor folding_factor(const Graph& graph, const Node& fold, int64_t rank) {
  std::vector<int64_t> shape(rank, 1);
  shape[fold.get_int("axis", 0)] = -1;
  const at::Tensor var = constant_values(graph, fold.inputs[2]);
  return (constant_values(graph, fold.inputs[1]) * (var + fold.get_float("epsilon", 1e-5F)).rsqrt())
      .reshape(shape);
}

}  // namespace

at::Tensor WeightQuantizer::shaped(const at::Tensor& per_channel) const {
  if (options.axis < 0) return per_channel.reshape({});
  std::vector<int64_t> shape(weight.dim(), 1);
  shape[options.axis] = -1;
  return per_channel.reshape(shape);
}

std::vector<WeightQuantizer> weight_quantizers(const Model& model) {
  const Graph& graph = model.graph;
  const Uses uses(graph);
  std::vector<WeightQuantizer> found;
  for (const Node& node : graph.nodes) {
    if (!node.is("FakeQuantize", "mc") || quantizes_activation(node)) continue;
    WeightQuantizer quantizer;
    quantizer.value = node.outputs[0];
    quantizer.initializer = node.inputs[0];
    quantizer.scale = node.inputs[1];
    const auto producer = uses.producer(node.inputs[0]);
    const Node* fold = producer ? &graph.nodes[*producer] : nullptr;
    if (fold && fold->is("FoldedWeight", "mc")) {
      quantizer.initializer = fold->inputs[0];
      quantizer.shared = uses.consumers(fold->outputs[0]).size() > 1;
    }
    if (!graph.initializer(quantizer.initializer)) continue;
    quantizer.weight = constant_values(graph, quantizer.initializer);
    if (fold) {
      quantizer.factor = folding_factor(graph, *fold, quantizer.weight.dim());
      quantizer.weight = quantizer.weight * quantizer.factor;
    }
    quantizer.shared = quantizer.shared || uses.consumers(quantizer.initializer).size() > 1;
    quantizer.state = {constant_values(graph, node.inputs[1]), constant_values(graph, node.inputs[2]),
                       constant_values(graph, node.inputs[3]), constant_values(graph, node.inputs[4])};
    quantizer.options = fake_quantize_options(node);
    found.push_back(std::move(quantizer));
  }
  return found;
}

}  // namespace mc
