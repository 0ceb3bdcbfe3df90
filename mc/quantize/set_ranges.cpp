#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/quantize/weight_quantizer.h"

namespace mc {
namespace {

class RangeSetter {
 public:
  RangeSetter(GraphModule& module, const ActivationStatistics& statistics, const Calibrator& calibrator,
              const CalibratorOptions& options)
      : module_(module), statistics_(statistics), calibrator_(calibrator), options_(options) {}

  // All ranges are found before the first is set.
  void run() {
    const at::NoGradGuard no_grad;
    std::vector<Node> activations, weights;
    for (const Node& node : module_.structure().graph.nodes) {
      if (!node.is("FakeQuantize", "mc")) continue;
      (quantizes_activation(node) ? activations : weights).push_back(node);
    }
    std::vector<ValueRange> ranges(activations.size());
    at::parallel_for(0, static_cast<int64_t>(activations.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ranges[i] = range_of(activations[i]);
    });
    for (size_t i = 0; i < activations.size(); ++i) {
      set(activations[i], at::full({1}, ranges[i].min, at::kFloat), at::full({1}, ranges[i].max, at::kFloat));
    }
    const Graph& graph = module_.structure().graph;
    const Uses uses(graph);
    const TensorOf tensor_of = [&](const std::string& name) { return module_.tensor(name); };
    for (const Node& node : weights) {
      const at::Tensor weight = weight_behind(graph, uses, node, tensor_of).weight;
      const auto [low, high] = observed_range(weight, fake_quantize_options(node));
      set(node, low, high);
    }
  }

 private:
  ValueRange range_of(const Node& node) const {
    const auto found = statistics_.values.find(node.outputs[0]);
    MC_CHECK(found != statistics_.values.end() && found->second.batches > 0,
             "calibrate: nothing was seen of value '{}'", node.outputs[0]);
    MC_CHECK(!calibrator_.needs_histogram || !found->second.histogram.empty(),
             "calibrate: '{}' needs histograms, which were not collected", calibrator_.name);
    const FakeQuantizeOptions quantizer = fake_quantize_options(node);
    return calibrator_.range(found->second, {quantizer.quant_min, quantizer.quant_max, quantizer.symmetric},
                             options_);
  }

  void set(const Node& node, const at::Tensor& low, const at::Tensor& high) {
    const FakeQuantizeOptions quantizer = fake_quantize_options(node);
    const auto [scale, zero_point] =
        choose_qparams(low, high, quantizer.quant_min, quantizer.quant_max, quantizer.symmetric);
    module_.tensor(node.inputs[1]).copy_(scale);
    module_.tensor(node.inputs[2]).copy_(zero_point);
    module_.tensor(node.inputs[3]).copy_(low);
    module_.tensor(node.inputs[4]).copy_(high);
  }

  GraphModule& module_;
  const ActivationStatistics& statistics_;
  const Calibrator& calibrator_;
  const CalibratorOptions& options_;
};

}  // namespace

void set_ranges(GraphModule& prepared, const ActivationStatistics& statistics, const std::string& calibrator,
                const CalibratorOptions& options) {
  RangeSetter(prepared, statistics, find_calibrator(calibrator), options).run();
  set_phase(prepared, {.observe = false, .quantize = true, .freeze_batch_norm = true});
}

}  // namespace mc
