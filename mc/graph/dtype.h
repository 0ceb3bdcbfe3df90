// ONNX's tensor element types, with ONNX's own numbers (onnx.proto, TensorProto.DataType).
#pragma once

#include <cstdint>
#include <string_view>

namespace mc {

enum class DType : int32_t {
  kUndefined = 0,
  kFloat = 1,
  kUInt8 = 2,
  kInt8 = 3,
  kUInt16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUInt32 = 12,
  kUInt64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBFloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUInt4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUInt2 = 25,
  kInt2 = 26,
  kFloat6E2M3 = 27,
  kFloat6E3M2 = 28,
};

std::string_view dtype_name(DType type);       // "float", "int8", ... as onnx's text syntax writes them
DType dtype_from_name(std::string_view name);  // throws Error with the nearest name
bool dtype_known(int32_t onnx_number);         // an element type of this list other than undefined
int dtype_bits(DType type);                    // 4 for int4; 0 for strings and undefined
bool dtype_is_float(DType type);               // any floating type, float8, float6 and float4 too

// Bytes that `count` elements take, packed as ONNX packs sub-byte types. Throws Error on overflow.
uint64_t dtype_bytes(DType type, uint64_t count);

}  // namespace mc
