#include "mc/quantize/channel_maxima.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

at::Tensor maxima_of(const at::Tensor& x, int64_t axis) {
  const at::Tensor magnitudes = x.abs();
  if (axis == kWholeValue) return magnitudes.amax().reshape({1});
  const int64_t kept = axis < 0 ? axis + x.dim() : axis;
  std::vector<int64_t> others;
  for (int64_t i = 0; i < x.dim(); ++i) {
    if (i != kept) others.push_back(i);
  }
  return others.empty() ? magnitudes : magnitudes.amax(others);
}

}  // namespace

std::map<std::string, at::Tensor> channel_maxima(const Model& model,
                                                 const std::map<std::string, int64_t>& wanted,
                                                 const Samples& samples, const ModuleOptions& options) {
  std::map<std::string, at::Tensor> maxima;
  GraphModule module(model, options);
  std::vector<std::string> names;
  names.reserve(wanted.size());
  for (const auto& entry : wanted) names.push_back(entry.first);
  const GraphModule::Observer run = module.observer(names);
  for_each_batch(samples, "largest activations", [&](const Batch& batch) {
    run(batch.inputs, [&](const std::string& value, const at::Tensor& x) {
      if (x.numel() == 0) return;
      const at::Tensor batch_maxima = maxima_of(x, wanted.at(value)).to(at::kCPU, at::kDouble);
      MC_CHECK(at::isfinite(batch_maxima).all().item<bool>(), "value '{}' holds NaN or infinity", value);
      at::Tensor& seen = maxima[value];
      seen = seen.defined() ? at::maximum(seen, batch_maxima) : batch_maxima;
    });
  });
  return maxima;
}

}  // namespace mc
