#include "mc/module/apply_mask.h"

#include <cstdint>
#include <cstring>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

namespace mc {
namespace {

constexpr int64_t kGrain = 1 << 15;  // values a thread takes at least

void walk(const MaskedTensor& tensor) {
  float* values = tensor.values.mutable_data_ptr<float>();
  // Read as bytes of 0 or 1, which compilers turn into vectors of bits more readily than bools.
  const auto* mask = reinterpret_cast<const uint8_t*>(tensor.mask.const_data_ptr<bool>());
  at::parallel_for(0, tensor.values.numel(), kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      uint32_t bits;
      std::memcpy(&bits, values + i, sizeof bits);
      bits &= uint32_t{0} - mask[i];
      std::memcpy(values + i, &bits, sizeof bits);
    }
  });
  tensor.values.unsafeGetTensorImpl()->bump_version();
}

}  // namespace

bool walks_together(const MaskedTensor& tensor) {
  return tensor.values.is_cpu() && tensor.values.scalar_type() == at::kFloat &&
         tensor.values.is_non_overlapping_and_dense() && tensor.values.strides() == tensor.mask.strides();
}

void apply_masks(const std::vector<MaskedTensor>& tensors) {
  const at::NoGradGuard no_grad;
  for (const MaskedTensor& tensor : tensors) {
    if (walks_together(tensor)) {
      walk(tensor);
    } else {
      tensor.values.mul_(tensor.mask);
    }
  }
}

}  // namespace mc
