#include "mc/quantize/smooth.h"

#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "mc/calibration/linear_layer.h"
#include "mc/ops/slot.h"
#include "mc/quantize/channel_maxima.h"
#include "mc/quantize/factor_path.h"
#include "mc/quantize/placement.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

class Smoother {
 public:
  Smoother(Graph& graph, double alpha) : graph_(graph), uses_(graph), alpha_(alpha) {}

  // Layers are nodes of the graph that read the value.
  void smooth(const std::string& value, const std::vector<size_t>& layers, const at::Tensor& maxima) {
    const at::Tensor factors = factors_of(layers, maxima);
    if (!absorb(value, layers, factors)) divide(value, layers, factors);
    for (const size_t layer : layers) {
      scale_weight_inputs(graph_, uses_, graph_.nodes[layer], factors);
    }
  }

  // The nodes that divide stand where they can only when all is done.
  SmoothReport finish() {
    if (!divisions_.empty()) {
      for (Node& node : divisions_) graph_.nodes.push_back(std::move(node));
      graph_.sort();
    }
    graph_.drop_unused();
    return report_;
  }

 private:
  at::Tensor factors_of(const std::vector<size_t>& layers, const at::Tensor& maxima) const {
    at::Tensor rows;
    for (const size_t layer : layers) {
      const at::Tensor own = linear_layer(graph_, uses_, graph_.nodes[layer])->weight.abs().amax({0, 1, 3});
      rows = rows.defined() ? at::maximum(rows, own) : own;
    }
    rows = rows.to(at::kDouble);
    // A channel without activations or weights is left alone.
    const at::Tensor useful = (maxima > 0).logical_and(rows > 0);
    return at::where(useful, maxima.pow(alpha_) / rows.pow(1 - alpha_), at::ones_like(rows)).clamp_min(1e-5);
  }

  bool absorb(const std::string& value, const std::vector<size_t>& layers, const at::Tensor& factors) {
    if (uses_.is_output(value) || uses_.consumers(value).size() != layers.size()) return false;
    const auto path =
        find_factor_path(graph_, uses_, value, input_axis(graph_, graph_.nodes[layers[0]]), factors.numel());
    if (!path || path->repeat != 1) return false;
    apply_factors(graph_, uses_, *path, factors.reciprocal());
    ++report_.absorbed;
    return true;
  }

  void divide(const std::string& value, const std::vector<size_t>& layers, const at::Tensor& factors) {
    Node node;
    node.op_type = "Mul";
    node.name = graph_.unique_node_name(value + "/Smooth");
    node.inputs = {value, graph_.unique_value_name(value + "_smooth_factor")};
    node.outputs = {graph_.unique_value_name(value + "_smoothed")};
    graph_.add_initializer(node.inputs[1], to_constant(factors.reciprocal().to(at::kFloat)));
    for (const size_t layer : layers) graph_.nodes[layer].inputs[0] = node.outputs[0];
    if (auto type = graph_.type_of(value)) graph_.set_type(node.outputs[0], *type);
    divisions_.push_back(std::move(node));
    ++report_.scaled;
  }

  Graph& graph_;
  const Uses uses_;
  const double alpha_;
  std::vector<Node> divisions_;
  SmoothReport report_;
};

}  // namespace

SmoothReport smooth(Model& model, const Samples& samples, const QuantizeOptions& options,
                    const ModuleOptions& module_options) {
  Graph& graph = model.graph;
  const Uses uses(graph);
  std::map<std::string, std::vector<size_t>> readers;  // by the value that they read
  std::vector<std::string> values;                     // in the order in which they are made
  std::map<std::string, int64_t> wanted;
  for (const QuantizedLayer& layer : place(model, options).layers) {
    const size_t index = *uses.producer(layer.node);
    const auto linear = linear_layer(graph, uses, graph.nodes[index]);
    if (!linear || linear->convolves()) continue;
    const std::string& value = linear->node->inputs[0];
    if (readers[value].empty()) values.push_back(value);
    readers[value].push_back(index);
    wanted[value] = -1;
  }
  if (values.empty()) return {};
  const auto maxima = channel_maxima(model, wanted, samples, module_options);
  Smoother smoother(graph, options.smooth);
  for (const std::string& value : values) {
    const auto seen = maxima.find(value);
    if (seen != maxima.end()) smoother.smooth(value, readers[value], seen->second);
  }
  return smoother.finish();
}

}  // namespace mc
