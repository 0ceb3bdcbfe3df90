#include "mc/quantize/settle_biases.h"

#include <ATen/ATen.h>

namespace mc {

int64_t settle_biases(GraphModule& module, const QuantizeOptions& options) {
  if (!find_target(options.target).quantize_bias) return 0;
  const at::NoGradGuard no_grad;
  const std::vector<RoundedBias> biases = rounded_biases(module.graph(), options);
  for (const RoundedBias& bias : biases) {
    at::Tensor held = module.tensor(bias.initializer);
    held.add_(bias.difference.to(held.device()).reshape(held.sizes()));
  }
  return static_cast<int64_t>(biases.size());
}

}  // namespace mc
