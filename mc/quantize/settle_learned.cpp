#include "mc/quantize/settle_learned.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize_learned.h"
#include "mc/ops/slot.h"
#include "mc/quantize/fake_quantize_node.h"

namespace mc {
namespace {

at::Tensor value_of(const Graph& graph, const std::string& name) {
  const Initializer* initializer = graph.initializer(name);
  MC_CHECK(initializer, "convert: '{}' is not an initializer", name);
  return to_aten(initializer->tensor, false);
}

void settle(Graph& graph, Node& node) {
  const std::string flags = quantizer_flags(node);
  MC_CHECK(value_of(graph, flags)[2].item<int64_t>() == 1,
           "convert: '{}' has no observed range: its scale was never set; run training batches through the "
           "model first",
           node.outputs[0]);
  LearnedQuantizer quantizer{value_of(graph, node.inputs[1]), value_of(graph, node.inputs[2]), {}};
  if (node.inputs.size() > 4) quantizer.offset = value_of(graph, node.inputs[4]);
  const FakeQuantizeState state = settled(quantizer, fake_quantize_options(node));
  const std::string stem = node.inputs[1].substr(0, node.inputs[1].size() - std::string("scale").size());
  node.op_type = "FakeQuantize";
  node.inputs = {node.inputs[0],       node.inputs[1],       node.inputs[2],
                 stem + "running_min", stem + "running_max", flags};
  const at::Tensor values[] = {state.scale, state.zero_point, state.running_min, state.running_max};
  for (size_t i = 0; i < 4; ++i) {
    graph.set_initializer(node.inputs[i + 1], to_constant(values[i].contiguous()));
  }
}

}  // namespace

void settle_learned(Model& model) {
  for (Node& node : model.graph.nodes) {
    if (node.is("LearnedFakeQuantize", "mc")) settle(model.graph, node);
  }
}

}  // namespace mc
