// What the operators of quantized tensors share.
#pragma once

#include <ATen/core/Tensor.h>

#include "mc/ops/slot.h"

namespace mc {

// saturate(round(scaled) + zero_point) as ONNX defines it: ties to even; `scaled` is floating, `zero_point`
// of any integer or floating type (undefined: 0) and broadcasts. Types under 8 bits are kept one a byte with
// the slot's dtype set. For float8 the value is cast, clamped to the type's range first when `saturate`.
// Throws Error for other types.
Slot round_to(const at::Tensor& scaled, const at::Tensor& zero_point, DType type, bool saturate);

// x as uint8 by its own range, zero included (ONNX's DynamicQuantizeLinear): codes of x's shape; scale,
// float, and zero point, uint8, are scalars.
struct DynamicallyQuantized {
  at::Tensor codes, scale, zero_point;
};
DynamicallyQuantized quantize_dynamically(const at::Tensor& x);

// A scale or zero point of one number, or of one for each slice of `axis` of a tensor with `rank` dims, in a
// shape that broadcasts to that tensor. Throws Error for an axis outside of it.
at::Tensor quant_parameter_along(const at::Tensor& parameter, int64_t axis, int64_t rank);

}  // namespace mc
