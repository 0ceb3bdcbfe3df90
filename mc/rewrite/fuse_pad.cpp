#include <algorithm>

#include "mc/base/error.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// The pads of spatial axes (begins, then ends) of a Pad that adds zeros there and nowhere else.
std::optional<std::vector<int64_t>> spatial_pads(const Graph& graph, const Uses& uses, const Node& pad) {
  if (!pad.is("Pad") || pad.get_string("mode", "constant") != "constant" || !pad.input(3).empty()) return {};
  std::vector<int64_t> pads = pad.get_ints("pads");  // an attribute before opset 11
  if (const Tensor* value = constant_value(graph, uses, pad.input(1))) pads = value->as_ints();
  double fill = pad.get_float("value", 0);
  if (!pad.input(2).empty()) {
    const Tensor* value = constant_value(graph, uses, pad.input(2));
    if (!value || value->count() != 1) return {};
    fill = value->as_doubles()[0];
  }
  const size_t rank = pads.size() / 2;
  if (fill != 0 || rank < 3 || pads.size() % 2 != 0) return {};
  if (pads[0] || pads[1] || pads[rank] || pads[rank + 1]) return {};
  if (std::ranges::any_of(pads, [](int64_t p) { return p < 0; })) return {};
  std::vector<int64_t> spatial(pads.begin() + 2, pads.begin() + static_cast<std::ptrdiff_t>(rank));
  spatial.insert(spatial.end(), pads.begin() + static_cast<std::ptrdiff_t>(rank) + 2, pads.end());
  return spatial;
}

}  // namespace

int fuse_pad(Model& model) {
  Graph& graph = model.graph;
  int fused = 0;
  for (size_t i = 0; i < graph.nodes.size();) {
    const Node& pad = graph.nodes[i];
    if (!pad.is("Pad") || pad.outputs.size() != 1) {
      ++i;
      continue;
    }
    const Uses uses(graph);
    const auto& readers = uses.consumers(pad.outputs[0]);
    const auto pads = spatial_pads(graph, uses, pad);
    Node* conv = readers.size() == 1 && readers[0].input == 0 ? &graph.nodes[readers[0].node] : nullptr;
    if (!pads || !conv || !conv->is("Conv") || uses.is_output(pad.outputs[0]) ||
        conv->get_string("auto_pad", "NOTSET") != "NOTSET") {
      ++i;
      continue;
    }
    std::vector<int64_t> total = conv->get_ints("pads", std::vector<int64_t>(pads->size(), 0));
    if (total.size() != pads->size()) {
      ++i;
      continue;
    }
    for (size_t k = 0; k < total.size(); ++k) total[k] += (*pads)[k];
    conv->set({"pads", std::move(total)});
    conv->inputs[0] = pad.inputs[0];
    absorb(*conv, pad);
    std::erase_if(graph.value_infos, [&](const ValueInfo& info) { return info.name == pad.outputs[0]; });
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i));
    ++fused;
  }
  return fused;
}

}  // namespace mc
