#include "mc/graph/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "mc/base/error.h"
#include "mc/graph/element.h"

namespace mc {
namespace {

constexpr std::align_val_t kAlignment{64};

// The number of elements, once the bytes are known to hold them all.
uint64_t checked_count(const Tensor& tensor) {
  MC_CHECK(dtype_bits(tensor.dtype) > 0 && dtype_bits(tensor.dtype) <= 64,
           "a tensor of {} holds no plain numbers", dtype_name(tensor.dtype));
  const auto count = static_cast<uint64_t>(tensor.count());
  const uint64_t needed = dtype_bytes(tensor.dtype, count);
  MC_CHECK(tensor.data.size() >= needed, "needs {} bytes for {} elements of {}, has {}", needed, count,
           dtype_name(tensor.dtype), tensor.data.size());
  return count;
}

}  // namespace

Buffer Buffer::allocate(size_t size, std::byte*& writable) {
  writable = static_cast<std::byte*>(::operator new(std::max<size_t>(size, 1), kAlignment));
  std::shared_ptr<const void> owner(
      writable, [](const void* data) { ::operator delete(const_cast<void*>(data), kAlignment); });
  return Buffer(std::move(owner), {writable, size});
}

Buffer Buffer::copy_of(std::span<const std::byte> bytes) {
  std::byte* writable = nullptr;
  Buffer buffer = allocate(bytes.size(), writable);
  if (!bytes.empty()) std::memcpy(writable, bytes.data(), bytes.size());
  return buffer;
}

int64_t Tensor::count() const {
  int64_t product = 1;
  bool overflow = false;
  bool empty = false;
  for (const int64_t dim : dims) {
    MC_CHECK(dim >= 0, "a dimension of a constant is negative: {}", dim);
    empty |= dim == 0;
    overflow |=
        __builtin_mul_overflow(product, dim == 0 ? 1 : dim, &product);  // strides exist without elements
  }
  MC_CHECK(!overflow, "the product of a constant's dimensions does not fit in 64 bits");
  return empty ? 0 : product;
}

Tensor Tensor::floats(std::vector<int64_t> dims, std::span<const float> values) {
  return of<float>(DType::kFloat, std::move(dims), values);
}

Tensor Tensor::int64s(std::vector<int64_t> dims, std::span<const int64_t> values) {
  return of<int64_t>(DType::kInt64, std::move(dims), values);
}

std::vector<double> Tensor::as_doubles() const {
  const uint64_t count = checked_count(*this);
  MC_CHECK(dtype != DType::kComplex64, "complex elements are no plain numbers");
  const int bits = dtype_bits(dtype);
  std::vector<double> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t element = load_bits(data.bytes(), bits, i);
    if (dtype_is_float(dtype)) {
      values[i] = decode_float(dtype, element);
    } else if (dtype_is_signed_integer(dtype)) {
      values[i] = static_cast<double>(sign_extend(element, bits));
    } else {
      values[i] = static_cast<double>(element);
    }
  }
  return values;
}

std::vector<int64_t> Tensor::as_ints() const {
  const uint64_t count = checked_count(*this);
  const int bits = dtype_bits(dtype);
  std::vector<int64_t> values(count);
  if (!dtype_is_float(dtype) && dtype != DType::kComplex64) {
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t element = load_bits(data.bytes(), bits, i);
      values[i] = dtype_is_signed_integer(dtype) ? sign_extend(element, bits) : static_cast<int64_t>(element);
      MC_CHECK(dtype != DType::kUInt64 || values[i] >= 0, "element {} is {}, beyond int64", i, element);
    }
    return values;
  }
  const std::vector<double> numbers = as_doubles();
  constexpr double kLimit = 9223372036854775808.0;
  for (uint64_t i = 0; i < count; ++i) {
    MC_CHECK(numbers[i] == std::trunc(numbers[i]) && numbers[i] >= -kLimit && numbers[i] < kLimit,
             "element {} is {}, not a whole number of 64 bits", i, numbers[i]);
    values[i] = static_cast<int64_t>(numbers[i]);
  }
  return values;
}

const std::string* find_metadata(const Metadata& metadata, const std::string& key) {
  const auto found = std::ranges::find(metadata, key, &Metadata::value_type::first);
  return found == metadata.end() ? nullptr : &found->second;
}

void set_metadata(Metadata& metadata, const std::string& key, std::string value) {
  const auto found = std::ranges::find(metadata, key, &Metadata::value_type::first);
  if (found == metadata.end()) {
    metadata.emplace_back(key, std::move(value));
  } else {
    found->second = std::move(value);
  }
}

void erase_metadata(Metadata& metadata, const std::string& key) {
  std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
}

}  // namespace mc
