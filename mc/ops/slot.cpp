#include "mc/ops/slot.h"

#include <cmath>
#include <cstring>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

bool packed(DType type) {
  return dtype_bits(type) > 0 && dtype_bits(type) < 8;
}

// Values of a sub-byte tensor, one a byte; float4 as its float values.
at::Tensor unpack(const Tensor& tensor) {
  const int bits = dtype_bits(tensor.dtype);
  const int per_byte = 8 / bits;
  const auto bytes = tensor.data.bytes();
  const int64_t count = tensor.count();
  const bool is_signed = tensor.dtype == DType::kInt4 || tensor.dtype == DType::kInt2;
  at::Tensor codes = at::empty({count}, is_signed ? at::kChar : at::kByte);
  auto* out = static_cast<uint8_t*>(codes.data_ptr());
  for (int64_t i = 0; i < count; ++i) {
    int code = (static_cast<int>(bytes[i / per_byte]) >> (bits * (i % per_byte))) & ((1 << bits) - 1);
    if (is_signed && (code >> (bits - 1))) code -= 1 << bits;
    out[i] = static_cast<uint8_t>(code);
  }
  if (tensor.dtype == DType::kFloat4E2M1) {
    static constexpr float kValues[8] = {0.f, 0.5f, 1.f, 1.5f, 2.f, 3.f, 4.f, 6.f};
    at::Tensor values = at::empty({count}, at::kFloat);
    for (int64_t i = 0; i < count; ++i) {
      const float magnitude = kValues[out[i] & 7];
      values.data_ptr<float>()[i] = out[i] & 8 ? -magnitude : magnitude;
    }
    codes = values;
  }
  return codes.reshape(tensor.dims);
}

}  // namespace

DType Slot::dtype() const {
  if (extra && extra->is_strings) return DType::kString;
  if (extra && extra->dtype != DType::kUndefined) return extra->dtype;
  return tensor.defined() ? to_dtype(tensor.scalar_type()) : DType::kUndefined;
}

at::ScalarType to_scalar_type(DType type) {
  switch (type) {
    case DType::kFloat:
      return at::kFloat;
    case DType::kUInt8:
      return at::kByte;
    case DType::kInt8:
      return at::kChar;
    case DType::kUInt16:
      return at::kUInt16;
    case DType::kInt16:
      return at::kShort;
    case DType::kInt32:
      return at::kInt;
    case DType::kInt64:
      return at::kLong;
    case DType::kBool:
      return at::kBool;
    case DType::kFloat16:
      return at::kHalf;
    case DType::kDouble:
      return at::kDouble;
    case DType::kUInt32:
      return at::kUInt32;
    case DType::kUInt64:
      return at::kUInt64;
    case DType::kComplex64:
      return at::kComplexFloat;
    case DType::kComplex128:
      return at::kComplexDouble;
    case DType::kBFloat16:
      return at::kBFloat16;
    case DType::kFloat8E4M3FN:
      return at::kFloat8_e4m3fn;
    case DType::kFloat8E4M3FNUZ:
      return at::kFloat8_e4m3fnuz;
    case DType::kFloat8E5M2:
      return at::kFloat8_e5m2;
    case DType::kFloat8E5M2FNUZ:
      return at::kFloat8_e5m2fnuz;
    case DType::kFloat8E8M0:
      return at::kFloat8_e8m0fnu;
    default:
      fail("element type {} has no tensor type in LibTorch", dtype_name(type));
  }
}

DType to_dtype(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::kFloat;
    case at::kByte:
      return DType::kUInt8;
    case at::kChar:
      return DType::kInt8;
    case at::kUInt16:
      return DType::kUInt16;
    case at::kShort:
      return DType::kInt16;
    case at::kInt:
      return DType::kInt32;
    case at::kLong:
      return DType::kInt64;
    case at::kBool:
      return DType::kBool;
    case at::kHalf:
      return DType::kFloat16;
    case at::kDouble:
      return DType::kDouble;
    case at::kUInt32:
      return DType::kUInt32;
    case at::kUInt64:
      return DType::kUInt64;
    case at::kComplexFloat:
      return DType::kComplex64;
    case at::kComplexDouble:
      return DType::kComplex128;
    case at::kBFloat16:
      return DType::kBFloat16;
    case at::kFloat8_e4m3fn:
      return DType::kFloat8E4M3FN;
    case at::kFloat8_e4m3fnuz:
      return DType::kFloat8E4M3FNUZ;
    case at::kFloat8_e5m2:
      return DType::kFloat8E5M2;
    case at::kFloat8_e5m2fnuz:
      return DType::kFloat8E5M2FNUZ;
    case at::kFloat8_e8m0fnu:
      return DType::kFloat8E8M0;
    default:
      fail("LibTorch's type {} has no ONNX element type", at::toString(type));
  }
}

at::Tensor to_aten(const Tensor& tensor, bool copy) {
  const auto options = at::TensorOptions().dtype(to_scalar_type(tensor.dtype));
  const auto bytes = tensor.data.bytes();
  const int64_t count = tensor.count();
  MC_CHECK(bytes.size() == dtype_bytes(tensor.dtype, count),
           "constant has {} bytes where its dims and type take {}", bytes.size(),
           dtype_bytes(tensor.dtype, count));
  if (count == 0) return at::empty(tensor.dims, options);
  const size_t alignment = options.dtype().itemsize();
  if (copy || reinterpret_cast<uintptr_t>(bytes.data()) % alignment != 0) {
    at::Tensor result = at::empty(tensor.dims, options);
    std::memcpy(result.data_ptr(), bytes.data(), bytes.size());
    return result;
  }
  return at::from_blob(
      const_cast<std::byte*>(bytes.data()), tensor.dims, [buffer = tensor.data](void*) {}, options);
}

Slot to_slot(const Tensor& tensor) {
  if (tensor.dtype == DType::kString) {
    auto extra = std::make_shared<Slot::Extra>();
    extra->is_strings = true;
    extra->strings = tensor.strings;
    extra->string_dims = tensor.dims;
    Slot slot;
    slot.extra = std::move(extra);
    return slot;
  }
  if (!packed(tensor.dtype)) return Slot(to_aten(tensor, false));
  MC_CHECK(tensor.data.size() == dtype_bytes(tensor.dtype, tensor.count()),
           "constant has {} bytes where its dims and type take {}", tensor.data.size(),
           dtype_bytes(tensor.dtype, tensor.count()));
  auto extra = std::make_shared<Slot::Extra>();
  extra->dtype = tensor.dtype;
  Slot slot(unpack(tensor));
  slot.extra = std::move(extra);
  return slot;
}

Tensor to_constant(const at::Tensor& tensor) {
  auto owner = std::make_shared<at::Tensor>(tensor.detach().to(at::kCPU).contiguous());
  Tensor result;
  result.dtype = to_dtype(owner->scalar_type());
  result.dims = owner->sizes().vec();
  const auto* data = static_cast<const std::byte*>(owner->const_data_ptr());
  result.data = Buffer(owner, {data, owner->nbytes()});
  return result;
}

}  // namespace mc
