#include "mc/ops/linear_quant.h"

#include <memory>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/float4.h"
#include "mc/ops/infer_helpers.h"

namespace mc {

Slot round_to(const at::Tensor& scaled, const at::Tensor& zero_point, DType type, bool saturate) {
  const int bits = dtype_bits(type);
  if (type == DType::kFloat4E2M1) return to_float4(scaled);
  if (dtype_is_float(type)) {
    MC_CHECK(bits == 8, "quantizing to {} is not supported", dtype_name(type));
    const at::ScalarType storage = to_scalar_type(type);
    double largest = 448;
    if (type == DType::kFloat8E4M3FNUZ) largest = 240;
    if (type == DType::kFloat8E5M2 || type == DType::kFloat8E5M2FNUZ) largest = 57344;
    return (saturate ? at::clamp(scaled, -largest, largest) : scaled).to(storage);
  }
  MC_CHECK(bits >= 2 && bits <= 16, "quantizing to {} is not supported", dtype_name(type));
  const bool is_unsigned =
      type == DType::kUInt8 || type == DType::kUInt16 || type == DType::kUInt4 || type == DType::kUInt2;
  const int64_t low = is_unsigned ? 0 : -(int64_t{1} << (bits - 1));
  const int64_t high = low + (int64_t{1} << bits) - 1;
  at::Tensor y = at::round(scaled);
  if (zero_point.defined()) {
    const at::Tensor zero = zero_point.to(y.scalar_type());
    y = zero.dim() == 0 ? y.add_(zero) : y + zero;
  }
  y.clamp_(low, high);
  if (bits >= 8) return y.to(to_scalar_type(type));
  Slot slot = y.to(is_unsigned ? at::kByte : at::kChar);
  auto extra = std::make_shared<Slot::Extra>();
  extra->dtype = type;
  slot.extra = std::move(extra);
  return slot;
}

DynamicallyQuantized quantize_dynamically(const at::Tensor& given) {
  const at::Tensor x = given.to(at::kFloat);
  const at::Tensor low = x.numel() ? x.amin().clamp_max(0) : at::zeros({}, x.options());
  const at::Tensor high = x.numel() ? x.amax().clamp_min(0) : low;
  const at::Tensor scale = at::where(high == low, at::ones_like(low), high - low) / 255;
  const at::Tensor zero = at::round(at::clamp(-low / scale, 0, 255));
  return {round_to(x / scale, zero, DType::kUInt8, true).tensor, scale, zero.to(at::kByte)};
}

at::Tensor quant_parameter_along(const at::Tensor& parameter, int64_t axis, int64_t rank) {
  if (parameter.numel() == 1) return parameter.reshape({});
  if (parameter.dim() == rank) return parameter;  // already laid out to broadcast
  std::vector<int64_t> shape(rank, 1);
  shape[normalize_axis(axis, rank)] = parameter.numel();
  return parameter.view(shape);
}

}  // namespace mc
