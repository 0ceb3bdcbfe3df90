// What batch norm in its inference form multiplies a channel by.
#pragma once

#include <ATen/core/Tensor.h>

namespace mc {

// gamma / sqrt(var + epsilon), by channel; gamma and var: floating [C].
at::Tensor folded_scale(const at::Tensor& gamma, const at::Tensor& var, double epsilon);

}  // namespace mc
