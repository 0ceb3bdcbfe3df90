// Mixed precision: convolutions and matrix products in bfloat16, everything else as it is.
#pragma once

#include <ATen/core/Tensor.h>

namespace mc {

// Turns autocast to bfloat16 on for `device` while it lives (nothing when not `enabled`). What it cached
// of the weights is dropped at its end, so it must not outlive an optimizer step.
class AutocastGuard {
 public:
  AutocastGuard(at::Device device, bool enabled);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  at::DeviceType type_;
  bool active_;
  bool was_enabled_ = false;
  at::ScalarType had_dtype_ = at::kBFloat16;
};

}  // namespace mc
