#include <algorithm>
#include <exception>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/module/mode_guard.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

// " of sample 17", where the first axis of `x` is that of the samples and one of them is not finite.
std::string bad_sample(const at::Tensor& x, const Batch& batch) {
  if (x.dim() == 0 || x.size(0) != batch.size() || !x.is_floating_point()) return "";
  const at::Tensor finite = at::isfinite(x).reshape({x.size(0), -1}).all(1);
  for (int64_t i = 0; i < batch.size(); ++i) {
    if (!finite[i].item<bool>()) return fmt::format(" of sample {}", batch.indices[i]);
  }
  return "";
}

// "input 'x'", or "value 'y' of node 'conv'": the quantizer takes over the value's name, and stands behind
// the node that makes it or in place of an activation function.
std::string origin(const Graph& graph, const Uses& uses, const Node& quantizer) {
  const auto producer = uses.producer(quantizer.inputs[0]);
  if (!producer) return fmt::format("input '{}'", quantizer.inputs[0]);
  const bool fused = !quantizer.get_string("activation", "").empty();
  return fmt::format("value '{}' of node '{}'", quantizer.outputs[0],
                     fused ? sources(quantizer).front() : graph.nodes[*producer].name);
}

}  // namespace

ActivationStatistics collect_statistics(GraphModule& prepared, const NextBatch& next,
                                        const CollectOptions& options) {
  ActivationStatistics statistics;
  std::map<std::string, std::string> nodes;  // what a person knows each value by
  std::vector<std::string> wanted;
  const Uses uses(prepared.structure().graph);
  for (const Node& node : prepared.structure().graph.nodes) {
    if (!quantizes_activation(node)) continue;
    statistics.values[node.outputs[0]];
    nodes[node.outputs[0]] = origin(prepared.structure().graph, uses, node);
    wanted.push_back(node.outputs[0]);
  }
  MC_CHECK(!nodes.empty(),
           "calibrate: no activation of the model is to be quantized; prepare it with prepare_qat first");
  const at::NoGradGuard no_grad;
  const ModeGuard mode(prepared, /*training=*/false);
  set_phase(prepared, {.observe = false, .quantize = false, .freeze_batch_norm = true});
  const GraphModule::Observer run = prepared.observer(wanted);
  Progress progress("calibrate", options.total);
  while (std::optional<Batch> batch = next()) {
    if (interrupted()) throw Error("interrupted while calibrating", ErrorKind::kInterrupted);
    std::string wrong;  // said once the module is left: it would name nodes that only calibration has
    run(batch->inputs, [&](const std::string& name, const at::Tensor& x) {
      if (!wrong.empty()) return;
      try {
        statistics.values[name].add(x, options.histograms, options.averaging);
      } catch (const Error& error) {
        wrong = fmt::format("calibrate: {}{}: {}", nodes[name], bad_sample(x, *batch), error.what());
      }
    });
    MC_CHECK(wrong.empty(), "{}", wrong);
    statistics.samples += batch->size();
    progress.update(statistics.samples);
  }
  MC_CHECK(statistics.samples > 0, "calibrate: there are no samples");
  for (const auto& [name, value] : statistics.values) {
    MC_CHECK(value.batches > 0, "calibrate: {} held no element in any of the {} samples", nodes[name],
             statistics.samples);
  }
  return statistics;
}

}  // namespace mc
