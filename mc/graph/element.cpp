#include "mc/graph/element.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "mc/base/error.h"

namespace mc {
namespace {

// A small floating-point format. What its topmost codes mean differs.
struct Format {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  enum { kIeee, kOneNan, kNegativeZeroIsNan, kFinite } special;
};

Format format_of(DType type) {
  switch (type) {
    case DType::kFloat16:
      return {5, 10, 15, Format::kIeee};
    case DType::kBFloat16:
      return {8, 7, 127, Format::kIeee};
    case DType::kFloat8E4M3FN:
      return {4, 3, 7, Format::kOneNan};
    case DType::kFloat8E4M3FNUZ:
      return {4, 3, 8, Format::kNegativeZeroIsNan};
    case DType::kFloat8E5M2:
      return {5, 2, 15, Format::kIeee};
    case DType::kFloat8E5M2FNUZ:
      return {5, 2, 16, Format::kNegativeZeroIsNan};
    case DType::kFloat4E2M1:
      return {2, 1, 1, Format::kFinite};
    case DType::kFloat6E2M3:
      return {2, 3, 1, Format::kFinite};
    case DType::kFloat6E3M2:
      return {3, 2, 3, Format::kFinite};
    default:
      fail("{} is no floating-point type", dtype_name(type));
  }
}

double decode_small(const Format& format, uint64_t bits) {
  const uint64_t mantissa_mask = (uint64_t{1} << format.mantissa_bits) - 1;
  const uint64_t exponent_mask = (uint64_t{1} << format.exponent_bits) - 1;
  const uint64_t mantissa = bits & mantissa_mask;
  const uint64_t exponent = (bits >> format.mantissa_bits) & exponent_mask;
  const bool negative = (bits >> (format.mantissa_bits + format.exponent_bits)) & 1;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (format.special == Format::kIeee && exponent == exponent_mask) {
    if (mantissa != 0) return nan;
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  if (format.special == Format::kOneNan && exponent == exponent_mask && mantissa == mantissa_mask) return nan;
  if (format.special == Format::kNegativeZeroIsNan && negative && exponent == 0 && mantissa == 0) return nan;
  const int scale = static_cast<int>(exponent == 0 ? 1 : exponent) - format.bias - format.mantissa_bits;
  const uint64_t whole = mantissa + (exponent == 0 ? 0 : mantissa_mask + 1);
  const double magnitude = std::ldexp(static_cast<double>(whole), scale);
  return negative ? -magnitude : magnitude;
}

// Rounds through integers of the format's own spacing at the value's magnitude.
uint16_t encode_small(const Format& format, double value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const auto top = static_cast<uint16_t>(((1 << format.exponent_bits) - 1) << format.mantissa_bits);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | top | (1 << (format.mantissa_bits - 1)));
  const double magnitude = std::abs(value);
  if (std::isinf(magnitude)) return sign | top;
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), 1 - format.bias);
  const double steps = std::nearbyint(std::ldexp(magnitude, format.mantissa_bits - exponent));
  // A mantissa that rounds up to the next power of two carries into the exponent by itself.
  const double code =
      steps + std::ldexp(static_cast<double>(exponent + format.bias - 1), format.mantissa_bits);
  return static_cast<uint16_t>(sign | (code >= top ? top : static_cast<uint16_t>(code)));
}

}  // namespace

uint64_t load_bits(std::span<const std::byte> bytes, int bits, uint64_t index) {
  uint64_t value = 0;
  if (bits >= 8) {
    const auto size = static_cast<size_t>(bits / 8);
    std::memcpy(&value, bytes.data() + index * size, size);
    return value;
  }
  const uint64_t first = index * static_cast<uint64_t>(bits);
  const auto shift = first % 8;
  value = std::to_integer<uint64_t>(bytes[first / 8]) >> shift;
  if (shift + static_cast<uint64_t>(bits) > 8)
    value |= std::to_integer<uint64_t>(bytes[first / 8 + 1]) << (8 - shift);
  return value & ((uint64_t{1} << bits) - 1);
}

void store_bits(std::span<std::byte> bytes, int bits, uint64_t index, uint64_t value) {
  if (bits >= 8) {
    const auto size = static_cast<size_t>(bits / 8);
    std::memcpy(bytes.data() + index * size, &value, size);
    return;
  }
  const uint64_t first = index * static_cast<uint64_t>(bits);
  const auto shift = first % 8;
  value &= (uint64_t{1} << bits) - 1;
  bytes[first / 8] |= static_cast<std::byte>((value << shift) & 0xFF);
  if (shift + static_cast<uint64_t>(bits) > 8)
    bytes[first / 8 + 1] |= static_cast<std::byte>(value >> (8 - shift));
}

bool dtype_is_signed_integer(DType type) {
  return type == DType::kInt8 || type == DType::kInt16 || type == DType::kInt32 || type == DType::kInt64 ||
         type == DType::kInt4 || type == DType::kInt2;
}

int64_t sign_extend(uint64_t value, int bits) {
  const int unused = 64 - bits;
  return static_cast<int64_t>(value << unused) >> unused;
}

double decode_float(DType type, uint64_t bits) {
  if (type == DType::kFloat) return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if (type == DType::kDouble) return std::bit_cast<double>(bits);
  if (type == DType::kFloat8E8M0) {
    return bits == 0xFF ? std::numeric_limits<double>::quiet_NaN()
                        : std::ldexp(1.0, static_cast<int>(bits) - 127);
  }
  return decode_small(format_of(type), bits);
}

uint16_t encode_float16(double value) {
  return encode_small(format_of(DType::kFloat16), value);
}
uint16_t encode_bfloat16(double value) {
  return encode_small(format_of(DType::kBFloat16), value);
}

}  // namespace mc
