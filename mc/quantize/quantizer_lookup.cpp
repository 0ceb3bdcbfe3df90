#include "mc/quantize/quantizer_lookup.h"

#include "mc/ops/op.h"
#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

const Node* producer_of(const Graph& graph, const Uses& uses, const std::string& value) {
  const auto index = uses.producer(value);
  return index ? &graph.nodes[*index] : nullptr;
}

}  // namespace

const Node* weight_quantizer_of(const Graph& graph, const Uses& uses, const Node& layer) {
  if (layer.inputs.size() < 2) return nullptr;
  const Node* node = producer_of(graph, uses, layer.inputs[1]);
  return node && node->is("FakeQuantize", "mc") && !quantizes_activation(*node) ? node : nullptr;
}

const Node* activation_quantizer_of(const Model& model, const Uses& uses, std::string value) {
  while (const Node* node = producer_of(model.graph, uses, value)) {
    if (quantizes_activation(*node)) return node;
    const Op* op = find_op(node->domain, node->op_type, model.opset(node->domain));
    if (!op || op->quant != QuantPart::kSameRange || node->inputs.empty()) return nullptr;
    value = node->inputs[0];
  }
  return nullptr;
}

}  // namespace mc
