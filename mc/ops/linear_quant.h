// The last step of every quantizing operator.
#pragma once

#include <ATen/core/Tensor.h>

#include "mc/ops/slot.h"

namespace mc {

// saturate(round(scaled) + zero_point) as ONNX defines it: ties to even; `scaled` is floating, `zero_point`
// of any integer or floating type (undefined: 0) and broadcasts. Types under 8 bits are kept one a byte with
// the slot's dtype set. For float8 the value is cast, clamped to the type's range first when `saturate`.
// Throws Error for other types.
Slot round_to(const at::Tensor& scaled, const at::Tensor& zero_point, DType type, bool saturate);

}  // namespace mc
