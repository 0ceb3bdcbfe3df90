#include "mc/ops/float4.h"

#include <ATen/ATen.h>

namespace mc {

Slot to_float4(const at::Tensor& given) {
  // Steps of .5 below 2, of 1 below 4, of 2 above.
  const at::Tensor x = given.to(at::kFloat);
  const at::Tensor magnitude = x.abs().clamp_max(6.0);
  const at::Tensor step =
      at::where(magnitude < 2.0, 0.5, at::where(magnitude < 4.0, 1.0, 2.0)).to(at::kFloat);
  const at::Tensor rounded = at::copysign((magnitude / step).round() * step, x);
  Slot slot = at::where(x.isnan(), -0.0, rounded).to(at::kFloat);
  auto extra = std::make_shared<Slot::Extra>();
  extra->dtype = DType::kFloat4E2M1;
  slot.extra = std::move(extra);
  return slot;
}

}  // namespace mc
