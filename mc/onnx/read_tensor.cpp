#include "mc/onnx/read_tensor.h"

#include <algorithm>
#include <limits>

#include "mc/base/error.h"
#include "mc/graph/element.h"
#include "mc/onnx/schema.h"

namespace mc {
namespace {

std::span<const std::byte> as_bytes(std::string_view view) {
  return std::as_bytes(std::span(view));
}

// Where TensorProto may keep elements; at most one of them is used.
enum class Store { kNone, kRaw, kFloat, kInt32, kString, kInt64, kDouble, kUInt64 };

// The typed store that holds elements of the type (comments of TensorProto in onnx.proto).
Store typed_store(DType type) {
  switch (type) {
    case DType::kFloat:
    case DType::kComplex64:
      return Store::kFloat;
    case DType::kDouble:
    case DType::kComplex128:
      return Store::kDouble;
    case DType::kInt64:
      return Store::kInt64;
    case DType::kUInt32:
    case DType::kUInt64:
      return Store::kUInt64;
    case DType::kString:
      return Store::kString;
    default:
      return Store::kInt32;
  }
}

class TensorReader {
 public:
  explicit TensorReader(TensorSource& source) : source_(source) {}

  Tensor read(std::string_view message, std::string& name) {
    scan(message, name);
    Tensor& tensor = tensor_;
    MC_CHECK(dtype_known(static_cast<int32_t>(tensor.dtype)), "its element type {} is unknown",
             static_cast<int32_t>(tensor.dtype));
    needed_ = dtype_bytes(tensor.dtype, static_cast<uint64_t>(tensor.count()));
    if (external_) {
      MC_CHECK(store_ == Store::kNone, "it has its data inside and outside the file");
      MC_CHECK(tensor.dtype != DType::kString, "strings cannot be external data");
      tensor.data = source_.external.find(external_entries_, needed_);
    } else if (store_ == Store::kRaw) {
      MC_CHECK(tensor.dtype != DType::kString, "strings cannot be raw data");
      tensor.data = Buffer(source_.owner, as_bytes(raw_));
    } else if (store_ != Store::kNone) {
      MC_CHECK(store_ == typed_store(tensor.dtype), "elements of {} stand in a field for another type",
               dtype_name(tensor.dtype));
      convert(message);
    }
    return std::move(tensor);
  }

 private:
  void use(Store store) {
    MC_CHECK(store_ == Store::kNone || store_ == store, "it has its data in two fields");
    store_ = store;
  }

  void scan(std::string_view message, std::string& name) {
    Fields fields(message, "TensorProto");
    while (fields.next()) {
      switch (fields.number()) {
        case field::tensor::kDims:
          fields.integers(tensor_.dims);
          break;
        case field::tensor::kDataType:
          tensor_.dtype = static_cast<DType>(fields.integer32());
          break;
        case field::tensor::kName:
          name = fields.text();
          break;
        case field::tensor::kDoc:
          tensor_.doc = fields.text();
          break;
        case field::tensor::kMetadata:
          read_entry(fields, tensor_.metadata, tensor_.unknown_fields);
          break;
        case field::tensor::kExternalData:
          read_entry(fields, external_entries_, tensor_.unknown_fields);
          break;
        case field::tensor::kDataLocation:
          external_ = location(fields.integer());
          break;
        case field::tensor::kStringData:
          tensor_.strings.push_back(fields.text()), use(Store::kString);
          break;
        // Empty stores say nothing: some writers leave them beside the one in use.
        case field::tensor::kRawData:
          raw_ = fields.bytes(), used(Store::kRaw, !raw_.empty());
          break;
        case field::tensor::kFloatData:
          used(Store::kFloat, add_fixed(fields, sizeof(float)));
          break;
        case field::tensor::kDoubleData:
          used(Store::kDouble, add_fixed(fields, sizeof(double)));
          break;
        case field::tensor::kInt32Data:
          used(Store::kInt32, skip_values(fields));
          break;
        case field::tensor::kInt64Data:
          used(Store::kInt64, skip_values(fields));
          break;
        case field::tensor::kUint64Data:
          used(Store::kUInt64, skip_values(fields));
          break;
        default:
          fields.keep(tensor_.unknown_fields);
          break;
      }
    }
  }

  void used(Store store, bool not_empty) {
    if (not_empty) use(store);
  }

  static bool location(int64_t value) {
    MC_CHECK(value == 0 || value == 1, "its data_location {} is unknown", value);
    return value == 1;
  }

  bool add_fixed(Fields& fields, size_t width) {
    const std::string_view chunk = fields.fixed(width);
    if (chunk.empty()) return false;
    chunks_.push_back(chunk);
    return true;
  }

  // Varints are decoded once their number is known; here only whether there are any.
  bool skip_values(Fields& fields) {
    skipped_.clear();
    fields.keep(skipped_);
    return skipped_.size() > 2 || (skipped_.size() == 2 && skipped_[1] != 0);
  }

  void convert(std::string_view message) {
    switch (store_) {
      case Store::kFloat:
      case Store::kDouble:
        join();
        break;
      case Store::kInt32:
        integers(message, field::tensor::kInt32Data);
        break;
      case Store::kInt64:
        integers(message, field::tensor::kInt64Data);
        break;
      case Store::kUInt64:
        integers(message, field::tensor::kUint64Data);
        break;
      default:
        break;
    }
  }

  // Fixed-width elements are in ONNX's raw layout already.
  void join() {
    if (chunks_.size() == 1) {
      tensor_.data = Buffer(source_.owner, as_bytes(chunks_[0]));
      return;
    }
    std::string all;
    for (const std::string_view chunk : chunks_) all += chunk;
    tensor_.data = Buffer::copy_of(as_bytes(all));
  }

  void integers(std::string_view message, field::Number number) {
    // Types of 2 and 4 bits stand packed, one byte in each value; all others one element in each.
    const int bits = dtype_bits(tensor_.dtype);
    const bool packed = bits == 2 || bits == 4;
    const int width = packed ? 8 : bits;
    const auto count = packed ? needed_ : static_cast<uint64_t>(tensor_.count());
    std::vector<int64_t> values;
    Fields fields(message, "TensorProto");
    while (fields.next()) {
      if (fields.number() == number) {
        fields.integers(values, count);
      } else {
        skipped_.clear();
        fields.keep(skipped_);
      }
    }
    MC_CHECK(values.size() == count, "needs {} values for {} elements of {}, has {}", count, tensor_.count(),
             dtype_name(tensor_.dtype), values.size());
    std::byte* writable = nullptr;
    tensor_.data = Buffer::allocate(needed_, writable);
    std::fill_n(writable, needed_, std::byte{0});
    const std::span<std::byte> data(writable, needed_);
    // Signed or not, a value must fit the element's bits.
    const int64_t low = std::numeric_limits<int64_t>::min() >> (64 - width);
    const int64_t high = width == 64 ? std::numeric_limits<int64_t>::max() : (int64_t{1} << width) - 1;
    for (uint64_t i = 0; i < count; ++i) {
      MC_CHECK(values[i] >= low && values[i] <= high, "element {} is {}, beyond {} bits", i, values[i],
               width);
      store_bits(data, width, i, static_cast<uint64_t>(values[i]));
    }
  }

  TensorSource& source_;
  Tensor tensor_;
  Store store_ = Store::kNone;
  bool external_ = false;
  Metadata external_entries_;
  std::string_view raw_;
  std::vector<std::string_view> chunks_;
  std::string skipped_;
  uint64_t needed_ = 0;
};

}  // namespace

Tensor read_tensor(std::string_view message, TensorSource& source, std::string& name) {
  return TensorReader(source).read(message, name);
}

Attribute::Sparse read_sparse(std::string_view message, TensorSource& source) {
  Attribute::Sparse sparse;
  Fields fields(message, "SparseTensorProto");
  while (fields.next()) {
    switch (fields.number()) {
      case field::sparse::kValues:
        sparse.values = read_tensor(fields.bytes(), source, sparse.values_name);
        break;
      case field::sparse::kIndices:
        sparse.indices = read_tensor(fields.bytes(), source, sparse.indices_name);
        break;
      case field::sparse::kDims:
        fields.integers(sparse.dims);
        break;
      default:
        fields.keep(sparse.unknown_fields);
        break;
    }
  }
  return sparse;
}

void read_entry(Fields& fields, Metadata& metadata, std::string& unknown_fields) {
  const std::string_view message = fields.bytes();
  std::pair<std::string, std::string> result;
  std::string unknown;
  Fields entry(message, "StringStringEntryProto");
  while (entry.next()) {
    switch (entry.number()) {
      case field::entry::kKey:
        result.first = entry.text();
        break;
      case field::entry::kValue:
        result.second = entry.text();
        break;
      default:
        entry.keep(unknown);
        break;
    }
  }
  if (unknown.empty()) {
    metadata.push_back(std::move(result));
  } else {
    keep_wrapped(unknown_fields, fields.number(), std::string(message));
  }
}

}  // namespace mc
