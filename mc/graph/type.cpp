#include "mc/graph/type.h"

#include "mc/graph/syntax.h"

namespace mc {
namespace {

// What a dimension or a type has besides its value.
std::string extras(const std::string& denotation, const std::string& unknown_fields) {
  std::string text;
  if (!denotation.empty()) text += "@" + syntax::quoted(denotation);
  if (!unknown_fields.empty()) text += "@<unknown_fields: \"" + syntax::hexadecimal(unknown_fields) + "\">";
  return text;
}

std::string tensor_text(const Type& type) {
  std::string text(dtype_name(type.dtype));
  if (!type.shape) return text + "[]";
  return type.shape->empty() ? text : text + to_string(*type.shape);
}

std::string element_text(const Type& type) {
  return type.element ? to_string(*type.element) : "opaque()";
}

std::string plain_text(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kUnknown:
      return "opaque()";
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
  return "opaque()";
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
  std::string text = "?";
  if (dim.known()) {
    text = std::to_string(dim.value);
  } else if (!dim.symbol.empty()) {
    text = syntax::is_identifier(dim.symbol) ? dim.symbol : syntax::quoted(dim.symbol);
  }
  return text + extras(dim.denotation, dim.unknown_fields);
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
  return plain_text(type) + extras(type.denotation, type.unknown_fields);
}

}  // namespace mc
