#include "mc/data/arrow_column.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr std::string_view kFixedList = "+w:";

std::optional<at::ScalarType> arrow_scalar(std::string_view format) {
  if (format.size() != 1) return std::nullopt;
  switch (format[0]) {
    case 'b':
      return at::kBool;
    case 'c':
      return at::kChar;
    case 'C':
      return at::kByte;
    case 's':
      return at::kShort;
    case 'S':
      return at::kUInt16;
    case 'i':
      return at::kInt;
    case 'I':
      return at::kUInt32;
    case 'l':
      return at::kLong;
    case 'L':
      return at::kUInt64;
    case 'e':
      return at::kHalf;
    case 'f':
      return at::kFloat;
    case 'g':
      return at::kDouble;
    default:
      return std::nullopt;
  }
}

bool bit(const void* bits, int64_t index) {
  return (static_cast<const uint8_t*>(bits)[index / 8] >> (index % 8) & 1) != 0;
}

// The elements [from, from + count) of a column, or of the list elements inside one.
class ArrowReader {
 public:
  explicit ArrowReader(std::shared_ptr<void> owner) : owner_(std::move(owner)) {}

  ArrowColumn read(const ArrowSchema& schema, const ArrowArray& array, int64_t from, int64_t count) const {
    const std::string_view format = schema.format;
    MC_CHECK(!schema.dictionary, "is dictionary-encoded; decode it to its values first");
    MC_CHECK(from >= 0 && count >= 0 && array.offset >= 0 && from <= array.length - count,
             "the data is damaged: {} elements from {} on are asked for, there are {}", count, from,
             array.length);
    check_no_nulls(array, from, count);
    if (const auto type = arrow_scalar(format)) return {numbers(*type, array, from, count), {}};
    if (format.starts_with(kFixedList)) return fixed_lists(schema, array, from, count);
    if (format == "+l") return lists<int32_t>(schema, array, from, count);
    if (format == "+L") return lists<int64_t>(schema, array, from, count);
    fail(
        "has values of a type that is no number or list of numbers (Arrow format '{}'); decode or tokenize "
        "it",
        format);
  }

 private:
  static const void* buffer(const ArrowArray& array, int64_t index) {
    MC_CHECK(array.n_buffers > index && array.buffers[index], "the data is damaged: a buffer is missing");
    return array.buffers[index];
  }

  static const ArrowArray& child(const ArrowSchema& schema, const ArrowArray& array) {
    MC_CHECK(schema.n_children == 1 && array.n_children == 1 && array.children[0],
             "the data is damaged: a list has no elements");
    return *array.children[0];
  }

  at::Tensor numbers(at::ScalarType type, const ArrowArray& array, int64_t from, int64_t count) const {
    if (count == 0) return at::empty({0}, type);
    const void* values = buffer(array, 1);
    const int64_t begin = array.offset + from;
    if (type == at::kBool) {
      at::Tensor flags = at::empty({count}, type);
      for (int64_t i = 0; i < count; ++i) flags.data_ptr<bool>()[i] = bit(values, begin + i);
      return flags;
    }
    // Nobody writes to it: datasets are read-only.
    auto* bytes = const_cast<std::byte*>(static_cast<const std::byte*>(values));
    bytes += begin * static_cast<int64_t>(c10::elementSize(type));
    return at::from_blob(bytes, {count}, [owner = owner_](void*) {}, at::TensorOptions(type));
  }

  ArrowColumn fixed_lists(const ArrowSchema& schema, const ArrowArray& array, int64_t from,
                          int64_t count) const {
    const std::string_view digits = std::string_view(schema.format).substr(kFixedList.size());
    int64_t size = -1;
    std::from_chars(digits.data(), digits.data() + digits.size(), size);
    MC_CHECK(size >= 0 && size <= INT32_MAX, "the data is damaged: lists of '{}' elements", digits);
    MC_CHECK(size == 0 || array.offset + from + count <= INT64_MAX / size,
             "the data is damaged: its lists end at no place");
    const int64_t begin = (array.offset + from) * size;
    return {inner(schema, array, begin, count * size, count, size), {}};
  }

  // `total` list elements from `begin` on, as `count` lists of `size`.
  at::Tensor inner(const ArrowSchema& schema, const ArrowArray& array, int64_t begin, int64_t total,
                   int64_t count, int64_t size) const {
    const at::Tensor elements = flat(schema, array, begin, total);
    std::vector<int64_t> shape = elements.sizes().vec();
    shape[0] = size;
    shape.insert(shape.begin(), count);
    return elements.view(shape);
  }

  at::Tensor flat(const ArrowSchema& schema, const ArrowArray& array, int64_t begin, int64_t total) const {
    const ArrowColumn elements = read(*schema.children[0], child(schema, array), begin, total);
    MC_CHECK(elements.lengths.empty(), "has lists of lists that differ in length; pad them first");
    return elements.elements;
  }

  template <class Offset>
  ArrowColumn lists(const ArrowSchema& schema, const ArrowArray& array, int64_t from, int64_t count) const {
    if (count == 0) return {inner(schema, array, 0, 0, 0, 0), {}};
    const auto* offsets = static_cast<const Offset*>(buffer(array, 1)) + array.offset + from;
    ArrowColumn column;
    for (int64_t i = 0; i < count; ++i) {
      MC_CHECK(offsets[i] >= 0 && offsets[i + 1] >= offsets[i],
               "the data is damaged: the offsets of its lists do not ascend");
      column.lengths.push_back(offsets[i + 1] - offsets[i]);
    }
    const int64_t begin = offsets[0], total = offsets[count] - offsets[0];
    const int64_t size = column.lengths[0];
    if (std::ranges::all_of(column.lengths, [&](int64_t length) { return length == size; })) {
      return {inner(schema, array, begin, total, count, size), {}};
    }
    column.elements = flat(schema, array, begin, total);
    return column;
  }

  std::shared_ptr<void> owner_;
};

}  // namespace

void check_no_nulls(const ArrowArray& array, int64_t from, int64_t count) {
  if (array.null_count == 0 || array.n_buffers < 1 || !array.buffers[0]) return;
  for (int64_t i = from; i < from + count; ++i) {
    MC_CHECK(bit(array.buffers[0], array.offset + i), "has no value (null) at place {}", i);
  }
}

bool is_numeric_column(const ArrowSchema& schema) {
  const std::string_view format = schema.format;
  if (schema.dictionary) return false;
  if (arrow_scalar(format)) return true;
  const bool list = format == "+l" || format == "+L" || format.starts_with(kFixedList);
  return list && schema.n_children == 1 && is_numeric_column(*schema.children[0]);
}

ArrowColumn read_arrow_column(const ArrowSchema& schema, const ArrowArray& array, int64_t first,
                              int64_t samples, const std::shared_ptr<void>& owner) {
  return ArrowReader(owner).read(schema, array, first, samples);
}

}  // namespace mc
