#include "mc/graph/type.h"

namespace mc {
namespace {

std::string tensor_text(const Type& type) {
  std::string text(dtype_name(type.dtype));
  if (!type.shape) return text + "[]";
  return type.shape->empty() ? text : text + to_string(*type.shape);
}

std::string element_text(const Type& type) {
  return type.element ? to_string(*type.element) : "?";
}

}  // namespace

Type Type::tensor(DType dtype, std::optional<Shape> shape) {
  Type type;
  type.kind = Kind::kTensor;
  type.dtype = dtype;
  type.shape = std::move(shape);
  return type;
}

bool Type::operator==(const Type& other) const {
  const bool same_element =
      element == other.element || (element && other.element && *element == *other.element);
  return same_element && kind == other.kind && dtype == other.dtype && shape == other.shape &&
         denotation == other.denotation && unknown_fields == other.unknown_fields;
}

std::string to_string(const Dim& dim) {
  if (dim.known()) return std::to_string(dim.value);
  return dim.symbol.empty() ? "?" : dim.symbol;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const Dim& dim : shape) {
    if (text.size() > 1) text += ',';
    text += to_string(dim);
  }
  return text + "]";
}

std::string to_string(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kUnknown:
      return "?";
    case Type::Kind::kTensor:
      return tensor_text(type);
    case Type::Kind::kSparseTensor:
      return "sparse_tensor(" + tensor_text(type) + ")";
    case Type::Kind::kSequence:
      return "seq(" + element_text(type) + ")";
    case Type::Kind::kOptional:
      return "optional(" + element_text(type) + ")";
    case Type::Kind::kMap:
      return "map(" + std::string(dtype_name(type.dtype)) + ", " + element_text(type) + ")";
  }
  return "?";
}

}  // namespace mc
