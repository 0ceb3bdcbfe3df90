#include "mc/quantize/settle_learned.h"

#include <limits>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize_learned.h"
#include "mc/ops/folded_batch_norm.h"
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

// levels = FakeQuantize(weight), quantized = FoldedWeight(levels) becomes folded = FoldedWeight(weight),
// quantized = FakeQuantize(folded) with the scales folded as well: the order in which weights are exported.
void fold_first(Graph& graph, Node& quantize, Node& fold) {
  const at::Tensor factor = folded_scale(value_of(graph, fold.inputs[1]), value_of(graph, fold.inputs[2]),
                                         fold.get_float("epsilon", 1e-5F))
                                .abs();
  constexpr float kLeast = std::numeric_limits<float>::epsilon();  // of a channel whose gamma is zero
  for (const size_t part : {1, 3, 4}) {
    at::Tensor folded = value_of(graph, quantize.inputs[part]) * factor;
    if (part == 1) folded = folded.clamp_min(kLeast);
    graph.set_initializer(quantize.inputs[part], to_constant(folded.contiguous()));
  }
  const std::string folded_value = quantize.outputs[0];
  fold.inputs[0] = quantize.inputs[0];
  quantize.inputs[0] = folded_value;
  quantize.outputs[0] = fold.outputs[0];
  fold.outputs[0] = folded_value;
  std::swap(quantize, fold);
}

}  // namespace

void settle_learned(Model& model) {
  std::vector<Node>& nodes = model.graph.nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].is("LearnedFakeQuantize", "mc")) continue;
    settle(model.graph, nodes[i]);
    for (size_t reader = i + 1; reader < nodes.size(); ++reader) {
      if (!nodes[reader].is("FoldedWeight", "mc") || nodes[reader].inputs[0] != nodes[i].outputs[0]) continue;
      fold_first(model.graph, nodes[i], nodes[reader]);
      break;
    }
  }
}

}  // namespace mc
