// One element of a tensor: its bits as ONNX packs them, and what number those bits stand for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "mc/graph/dtype.h"

namespace mc {

// The bits of element `index` of a run of elements of `bits` (2, 4, 6, 8, 16, 32 or 64) each, least
// significant bits first across bytes as ONNX packs sub-byte types. The caller checks the range.
uint64_t load_bits(std::span<const std::byte> bytes, int bits, uint64_t index);
// Writes them; the bits there must be zero.
void store_bits(std::span<std::byte> bytes, int bits, uint64_t index, uint64_t value);

bool dtype_is_signed_integer(DType type);
int64_t sign_extend(uint64_t value, int bits);

// The number that the bits of a floating-point element stand for. IEEE 754 for float16, float and double;
// float8: "FP8 Formats for Deep Learning" (arXiv 2209.05433) and, for FNUZ, "8-bit Numerical Formats for
// Deep Neural Networks" (arXiv 2206.02915); float4, float6 and E8M0: OCP Microscaling Formats 1.0.
double decode_float(DType type, uint64_t bits);

// The nearest float16 or bfloat16, ties to even.
uint16_t encode_float16(double value);
uint16_t encode_bfloat16(double value);

}  // namespace mc
