// Constant data: a type, dims and a reference-counted run of bytes in ONNX's raw layout (little endian,
// row major, sub-byte types packed). Copying a Tensor copies no data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mc/graph/dtype.h"

namespace mc {

// Immutable bytes and whatever keeps them alive (heap block, mapped file, an at::Tensor).
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}
  static Buffer copy_of(std::span<const std::byte> bytes);
  static Buffer allocate(size_t size, std::byte*& writable);  // 64-byte aligned, uninitialised

  std::span<const std::byte> bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct Tensor {
  DType dtype = DType::kUndefined;
  std::vector<int64_t> dims;
  Buffer data;                       // empty for strings
  std::vector<std::string> strings;  // only for DType::kString
  std::string doc;
  Metadata metadata;
  std::string unknown_fields;  // protobuf bytes that we do not know

  int64_t count() const;  // product of dims; 1 for a scalar. Throws Error on overflow

  template <class T>
  static Tensor of(DType dtype, std::vector<int64_t> dims, std::span<const T> values);
  static Tensor floats(std::vector<int64_t> dims, std::span<const float> values);
  static Tensor int64s(std::vector<int64_t> dims, std::span<const int64_t> values);
  static Tensor scalar(float value) { return floats({}, std::span<const float>(&value, 1)); }

  // The elements as doubles or integers, whatever the stored type. Throws Error for strings, and for
  // as_ints where a value is not a whole number.
  std::vector<double> as_doubles() const;
  std::vector<int64_t> as_ints() const;
};

template <class T>
Tensor Tensor::of(DType dtype, std::vector<int64_t> dims, std::span<const T> values) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.dims = std::move(dims);
  tensor.data = Buffer::copy_of(std::as_bytes(values));
  return tensor;
}

const std::string* find_metadata(const Metadata& metadata, const std::string& key);
void set_metadata(Metadata& metadata, const std::string& key, std::string value);
void erase_metadata(Metadata& metadata, const std::string& key);

}  // namespace mc
