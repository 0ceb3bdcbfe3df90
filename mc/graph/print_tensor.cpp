#include "mc/graph/print_tensor.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "mc/graph/element.h"
#include "mc/graph/syntax.h"

namespace mc {
namespace {

constexpr int64_t kShort = 32;  // elements that print in full in any case

uint64_t fnv1a(const Tensor& tensor) {
  uint64_t hash = 14695981039346656037U;
  const auto add = [&](uint8_t byte) { hash = (hash ^ byte) * 1099511628211U; };
  for (const std::byte byte : tensor.data.bytes()) add(std::to_integer<uint8_t>(byte));
  for (const std::string& text : tensor.strings) {
    for (const char c : text) add(static_cast<uint8_t>(c));
    add(0);
  }
  return hash;
}

template <class Float, class Bits>
std::string float_text(Float value, Bits quiet_nan) {
  const auto bits = std::bit_cast<Bits>(value);
  if (std::isnan(value)) {
    constexpr Bits kSign = Bits{1} << (sizeof(Bits) * 8 - 1);
    if (bits == quiet_nan) return "nan";
    if (bits == (quiet_nan | kSign)) return "-nan";
    return fmt::format("nan({:#x})", bits);
  }
  std::array<char, 40> text;
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), result.ptr};
}

std::string element_text(DType type, std::span<const std::byte> bytes, uint64_t index) {
  const int bits = dtype_bits(type);
  const uint64_t element = load_bits(bytes, bits, index);
  if (type == DType::kFloat) return number_text(std::bit_cast<float>(static_cast<uint32_t>(element)));
  if (type == DType::kDouble) return number_text(std::bit_cast<double>(element));
  if (dtype_is_signed_integer(type)) return std::to_string(sign_extend(element, bits));
  return std::to_string(element);
}

// Whether the data is what type and dims ask for.
bool is_whole(const Tensor& tensor) {
  int64_t product = 1;
  for (const int64_t dim : tensor.dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product)) return false;
  }
  const auto count = static_cast<uint64_t>(product);
  if (tensor.dtype == DType::kString) return tensor.strings.size() == count && tensor.data.size() == 0;
  const auto bits = static_cast<uint64_t>(dtype_bits(tensor.dtype));
  return bits != 0 && tensor.strings.empty() && count <= tensor.data.size() * 8 / bits &&
         tensor.data.size() == (count * bits + 7) / 8;
}

}  // namespace

std::string number_text(float value) {
  return float_text<float, uint32_t>(value, 0x7FC00000U);
}
std::string number_text(double value) {
  return float_text<double, uint64_t>(value, 0x7FF8000000000000U);
}

std::string tensor_head(const Tensor& tensor, const std::string& name) {
  std::string text(dtype_name(tensor.dtype));
  if (!tensor.dims.empty()) text += fmt::format("[{}]", fmt::join(tensor.dims, ","));
  return name.empty() ? text : text + " " + syntax::name(name);
}

std::string tensor_data(const Tensor& tensor, bool full) {
  if (!is_whole(tensor) || (!full && tensor.count() > kShort)) {
    return fmt::format(R"(["bytes": "{}", "fnv1a": "{:016x}"])", tensor.data.size(), fnv1a(tensor));
  }
  std::string text = "{";
  const auto add = [&](std::string_view element) {
    if (text.size() > 1) text += ", ";
    text += element;
  };
  for (const std::string& element : tensor.strings) add(syntax::quoted(element));
  DType type = tensor.dtype;
  auto elements = static_cast<uint64_t>(type == DType::kString ? 0 : tensor.count());
  if (type == DType::kComplex64 || type == DType::kComplex128) {
    type = type == DType::kComplex64 ? DType::kFloat : DType::kDouble;
    elements *= 2;
  }
  for (uint64_t i = 0; i < elements; ++i) add(element_text(type, tensor.data.bytes(), i));
  return text + "}";
}

}  // namespace mc
