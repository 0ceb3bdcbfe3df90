#include <algorithm>
#include <exception>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/module/mode_guard.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/fake_quantize_node.h"

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

}  // namespace

ActivationStatistics collect_statistics(GraphModule& prepared, const NextBatch& next,
                                        const CollectOptions& options) {
  ActivationStatistics statistics;
  std::map<std::string, std::string> nodes;
  for (const Node& node : prepared.structure().graph.nodes) {
    if (!quantizes_activation(node)) continue;
    statistics.values[node.outputs[0]];
    nodes[node.outputs[0]] = node.name;
  }
  MC_CHECK(!nodes.empty(),
           "calibrate: no activation of the model is to be quantized; prepare it with prepare_qat first");
  const at::NoGradGuard no_grad;
  const ModeGuard mode(prepared, /*training=*/false);
  set_phase(prepared, {.observe = false, .quantize = false, .freeze_batch_norm = true});
  Progress progress("calibrate", options.total);
  while (std::optional<Batch> batch = next()) {
    if (interrupted()) throw Error("interrupted while calibrating", ErrorKind::kInterrupted);
    prepared.forward_visiting(batch->inputs, [&](const std::string& name, const at::Tensor& x) {
      const auto found = statistics.values.find(name);
      if (found == statistics.values.end()) return;
      with_context(
          [&] {
            return fmt::format("calibrate: value '{}'{} (node '{}')", name, bad_sample(x, *batch),
                               nodes[name]);
          },
          [&] { found->second.add(x, options.histograms, options.averaging); });
    });
    statistics.samples += batch->size();
    progress.update(statistics.samples);
  }
  MC_CHECK(statistics.samples > 0, "calibrate: there are no samples");
  for (const auto& [name, value] : statistics.values) {
    MC_CHECK(value.batches > 0, "calibrate: value '{}' (node '{}') held no element in any of the {} samples",
             name, nodes[name], statistics.samples);
  }
  return statistics;
}

}  // namespace mc
