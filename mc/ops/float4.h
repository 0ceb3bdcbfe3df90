// The 4-bit float E2M1, kept as float values in a slot that says so.
#pragma once

#include <ATen/core/Tensor.h>

#include "mc/ops/slot.h"

namespace mc {

// x, of any numeric type, rounded to the nearest of 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives (ties to
// the even code); larger magnitudes become 6. NaN, which E2M1 lacks, becomes -0.
Slot to_float4(const at::Tensor& x);

}  // namespace mc
