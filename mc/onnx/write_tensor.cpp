#include "mc/onnx/write_tensor.h"

#include "mc/base/error.h"
#include "mc/onnx/schema.h"
#include "mc/onnx/write_fields.h"

namespace mc {
namespace {

constexpr uint64_t kAlignment = 4096;  // a page, so that others can map the tensor too

void write_dim(std::string& out, const Dim& dim) {
  if (dim.known()) {
    put_integer(out, field::shape::kDimValue, dim.value);
  } else {
    put_text_unless_empty(out, field::shape::kDimParam, dim.symbol);
  }
  put_text_unless_empty(out, field::shape::kDimDenotation, dim.denotation);
  out += dim.unknown_fields;
}

void write_tensor_type(std::string& out, const Type& type) {
  put_integer(out, field::type::kElementType, static_cast<int64_t>(type.dtype));
  if (!type.shape) return;
  put_message(out, field::type::kShape, [&] {
    for (const Dim& dim : *type.shape) {
      put_message(out, field::shape::kDim, [&] { write_dim(out, dim); });
    }
  });
}

void write_element(std::string& out, uint32_t number, const Type& type) {
  if (type.element) {
    put_message(out, number, [&] { write_type(out, *type.element); });
  }
}

}  // namespace

void put_metadata(std::string& out, uint32_t number, const Metadata& metadata) {
  for (const auto& entry : metadata) {
    put_message(out, number, [&] {
      put_text(out, field::entry::kKey, entry.first);
      put_text(out, field::entry::kValue, entry.second);
    });
  }
}

Metadata ExternalWriter::add(const Tensor& tensor) {
  static constexpr char kZeros[kAlignment] = {};
  const uint64_t padding = (kAlignment - file_.size() % kAlignment) % kAlignment;
  if (padding > 0) file_.write(kZeros, padding);
  const uint64_t offset = file_.size();
  file_.write(tensor.data.bytes().data(), tensor.data.size());
  return {{"location", location_},
          {"offset", std::to_string(offset)},
          {"length", std::to_string(tensor.data.size())}};
}

void write_tensor(std::string& out, const Tensor& tensor, const std::string& name, ExternalWriter* external) {
  for (const int64_t dim : tensor.dims) put_integer(out, field::tensor::kDims, dim);
  put_integer(out, field::tensor::kDataType, static_cast<int64_t>(tensor.dtype));
  for (const std::string& text : tensor.strings) put_text(out, field::tensor::kStringData, text);
  put_text_unless_empty(out, field::tensor::kName, name);
  const bool outside = external != nullptr && external->takes(tensor);
  if (!outside && tensor.dtype != DType::kString) {
    const std::span<const std::byte> bytes = tensor.data.bytes();
    put_text(out, field::tensor::kRawData, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  put_text_unless_empty(out, field::tensor::kDoc, tensor.doc);
  if (outside) {
    put_metadata(out, field::tensor::kExternalData, external->add(tensor));
    put_integer(out, field::tensor::kDataLocation, 1);
  }
  put_metadata(out, field::tensor::kMetadata, tensor.metadata);
  out += tensor.unknown_fields;
}

void write_sparse(std::string& out, const Attribute::Sparse& sparse) {
  put_message(out, field::sparse::kValues, [&] { write_tensor(out, sparse.values, sparse.values_name); });
  put_message(out, field::sparse::kIndices, [&] { write_tensor(out, sparse.indices, sparse.indices_name); });
  for (const int64_t dim : sparse.dims) put_integer(out, field::sparse::kDims, dim);
  out += sparse.unknown_fields;
}

void write_type(std::string& out, const Type& type) {
  switch (type.kind) {
    case Type::Kind::kUnknown:
      break;
    case Type::Kind::kTensor:
    case Type::Kind::kSparseTensor:
      put_message(out, type.kind == Type::Kind::kTensor ? field::type::kTensor : field::type::kSparseTensor,
                  [&] { write_tensor_type(out, type); });
      break;
    case Type::Kind::kSequence:
    case Type::Kind::kOptional:
      put_message(out, type.kind == Type::Kind::kSequence ? field::type::kSequence : field::type::kOptional,
                  [&] { write_element(out, field::type::kElementType, type); });
      break;
    case Type::Kind::kMap:
      put_message(out, field::type::kMap, [&] {
        put_integer(out, field::type::kKeyType, static_cast<int64_t>(type.dtype));
        write_element(out, field::type::kValueType, type);
      });
      break;
  }
  put_text_unless_empty(out, field::type::kDenotation, type.denotation);
  out += type.unknown_fields;
}

}  // namespace mc
