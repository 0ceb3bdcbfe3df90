// Holds pruned weights at zero.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

struct MaskedTensor {
  at::Tensor values;  // floating point
  at::Tensor mask;    // bool, of the same shape and device; true keeps
};

// Whether both lie in memory alike, as floats on the CPU.
bool walks_together(const MaskedTensor& tensor);

// values[i] = mask[i] ? values[i] : 0, in place and outside of autograd. One pass over memory: on the CPU,
// float tensors that lie in memory as their masks do are walked together; others are multiplied.
void apply_masks(const std::vector<MaskedTensor>& tensors);

}  // namespace mc
