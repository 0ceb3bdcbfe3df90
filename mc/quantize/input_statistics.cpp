#include "mc/quantize/input_statistics.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/module/mode_guard.h"

namespace mc {
namespace {

void add_input(InputStatistics& statistics, const at::Tensor& given) {
  const int64_t inner = statistics.magnitude.size(0);
  MC_CHECK(given.is_floating_point() && given.dim() >= 1 && given.size(-1) == inner,
           "its last axis does not have the {} elements of the layer's weight", inner);
  const at::Tensor x = given.reshape({-1, inner}).to(at::kCPU, at::kFloat);
  const at::Tensor product = at::mm(x.t(), x);
  MC_CHECK(at::isfinite(product).all().item<bool>(), "it holds NaN or infinity, or its squares overflow");
  statistics.hessian.add_(product);
  statistics.magnitude.add_(x.abs().sum(0, /*keepdim=*/false, at::kDouble));
  statistics.rows += x.size(0);
}

// One pass for the values of `part`; gives the number of samples.
int64_t gather_part(GraphModule& module, std::map<std::string, InputStatistics>& part,
                    const Samples& samples) {
  std::vector<std::string> wanted;
  wanted.reserve(part.size());
  for (const auto& entry : part) wanted.push_back(entry.first);
  const GraphModule::Observer run = module.observer(wanted);
  int64_t done = 0;
  for_each_batch(samples, "inputs of layers", [&](const Batch& batch) {
    run(batch.inputs, [&](const std::string& name, const at::Tensor& x) {
      with_context([&] { return fmt::format("value '{}'", name); }, [&] { add_input(part.at(name), x); });
    });
    done += batch.size();
  });
  for (auto& [name, statistics] : part) {
    MC_CHECK(statistics.rows > 0, "calibrate: value '{}' held no element in any of the {} samples", name,
             done);
    const auto rows = static_cast<double>(statistics.rows);
    statistics.hessian.mul_(2 / rows);
    statistics.magnitude.div_(rows);
  }
  return done;
}

}  // namespace

CollectedInputs collect_inputs(GraphModule& module, const std::map<std::string, int64_t>& widths,
                               const Samples& samples, int64_t bytes) {
  const at::NoGradGuard no_grad;
  const ModeGuard mode(module, /*training=*/false);
  CollectedInputs result;
  auto next = widths.begin();
  while (next != widths.end()) {
    std::map<std::string, InputStatistics> part;
    for (int64_t used = 0; next != widths.end(); ++next) {
      const int64_t inner = next->second;
      used += inner * inner * static_cast<int64_t>(sizeof(double));
      if (!part.empty() && used > bytes) break;
      part[next->first] = {at::zeros({inner, inner}, at::kDouble), at::zeros({inner}, at::kDouble), 0};
    }
    result.samples = gather_part(module, part, samples);
    result.values.merge(part);
  }
  return result;
}

}  // namespace mc
