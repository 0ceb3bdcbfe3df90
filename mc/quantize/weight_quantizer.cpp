#include "mc/quantize/weight_quantizer.h"

#include <ATen/ATen.h>

#include "mc/ops/folded_batch_norm.h"
#include "mc/ops/slot.h"
#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

// What batch norm does to the weight (FoldedWeight, mc/ops/folded_batch_norm.cpp).
at::Tensor folding_factor(const Node& fold, int64_t rank, const TensorOf& tensor_of) {
  std::vector<int64_t> shape(rank, 1);
  shape[fold.get_int("axis", 0)] = -1;
  return folded_scale(tensor_of(fold.inputs[1]), tensor_of(fold.inputs[2]), fold.get_float("epsilon", 1e-5F))
      .reshape(shape);
}

const Node* fold_before(const Graph& graph, const Uses& uses, const Node& quantizer) {
  const auto producer = uses.producer(quantizer.inputs[0]);
  const Node* node = producer ? &graph.nodes[*producer] : nullptr;
  return node && node->is("FoldedWeight", "mc") ? node : nullptr;
}

}  // namespace

at::Tensor WeightQuantizer::shaped(const at::Tensor& per_channel) const {
  if (options.axis < 0) return per_channel.reshape({});
  std::vector<int64_t> shape(weight.dim(), 1);
  shape[options.axis] = -1;
  return per_channel.reshape(shape);
}

WeightBehind weight_behind(const Graph& graph, const Uses& uses, const Node& quantizer,
                           const TensorOf& tensor_of) {
  const Node* fold = fold_before(graph, uses, quantizer);
  WeightBehind behind;
  behind.initializer = fold ? fold->inputs[0] : quantizer.inputs[0];
  behind.weight = tensor_of(behind.initializer);
  if (fold) {
    behind.factor = folding_factor(*fold, behind.weight.dim(), tensor_of);
    behind.weight = behind.weight * behind.factor;
  }
  return behind;
}

std::vector<WeightQuantizer> weight_quantizers(const Model& model) {
  const Graph& graph = model.graph;
  const Uses uses(graph);
  const TensorOf values = [&](const std::string& name) {
    return to_aten(graph.initializer(name)->tensor, false);
  };
  std::vector<WeightQuantizer> found;
  for (const Node& node : graph.nodes) {
    if (!node.is("FakeQuantize", "mc") || quantizes_activation(node)) continue;
    const Node* fold = fold_before(graph, uses, node);
    if (!graph.initializer(fold ? fold->inputs[0] : node.inputs[0])) continue;
    const WeightBehind behind = weight_behind(graph, uses, node, values);
    WeightQuantizer quantizer;
    quantizer.value = node.outputs[0];
    quantizer.initializer = behind.initializer;
    quantizer.scale = node.inputs[1];
    quantizer.weight = behind.weight;
    quantizer.factor = behind.factor;
    quantizer.shared = uses.consumers(behind.initializer).size() > 1 ||
                       (fold && uses.consumers(fold->outputs[0]).size() > 1);
    quantizer.state = {values(node.inputs[1]), values(node.inputs[2]), values(node.inputs[3]),
                       values(node.inputs[4])};
    quantizer.options = fake_quantize_options(node);
    found.push_back(std::move(quantizer));
  }
  return found;
}

}  // namespace mc
