#include "mc/base/error.h"
#include "mc/onnx/read_tensor.h"
#include "mc/onnx/schema.h"

namespace mc {
namespace {

DType element_type(int64_t number) {
  MC_CHECK(number == 0 || (number > 0 && number <= INT32_MAX && dtype_known(static_cast<int32_t>(number))),
           "element type {} is unknown", number);
  return static_cast<DType>(number);
}

Dim read_dim(std::string_view message) {
  Dim dim;
  Fields fields(message, "TensorShapeProto.Dimension");
  while (fields.next()) {
    switch (fields.number()) {
      case field::shape::kDimValue: {
        Fields copy = fields;
        dim.value = fields.integer();
        // Not a size, but the file says so: kept as it stands.
        if (dim.value < 0) copy.keep(dim.unknown_fields);
        dim.value = std::max<int64_t>(dim.value, -1);
        break;
      }
      case field::shape::kDimParam:
        dim.symbol = fields.text();
        break;
      case field::shape::kDimDenotation:
        dim.denotation = fields.text();
        break;
      default:
        fields.keep(dim.unknown_fields);
        break;
    }
  }
  return dim;
}

// Tensor and SparseTensor. Unknown fields go into the type's own, wrapped so that protobuf merges them back.
void read_tensor_type(std::string_view message, field::Number number, Type& type) {
  std::string unknown;
  Fields fields(message, "TypeProto.Tensor");
  while (fields.next()) {
    switch (fields.number()) {
      case field::type::kElementType:
        type.dtype = element_type(fields.integer());
        break;
      case field::type::kShape: {
        if (!type.shape) type.shape.emplace();
        std::string unknown_in_shape;
        Fields shape(fields.bytes(), "TensorShapeProto");
        while (shape.next()) {
          if (shape.number() == field::shape::kDim) {
            type.shape->push_back(read_dim(shape.bytes()));
          } else {
            shape.keep(unknown_in_shape);
          }
        }
        keep_wrapped(unknown, field::type::kShape, unknown_in_shape);
        break;
      }
      default:
        fields.keep(unknown);
        break;
    }
  }
  keep_wrapped(type.unknown_fields, number, unknown);
}

// Sequence, Optional and Map.
void read_container(std::string_view message, field::Number number, Type& type, int depth) {
  const bool is_map = number == field::type::kMap;
  std::string unknown;
  Fields fields(message, "TypeProto");
  while (fields.next()) {
    if (is_map && fields.number() == field::type::kKeyType) {
      type.dtype = element_type(fields.integer());
    } else if (fields.number() == (is_map ? field::type::kValueType : field::type::kElementType)) {
      Type inner = type.element ? *type.element : Type{};
      read_type(fields.bytes(), inner, depth + 1);
      if (inner != Type{}) type.element = std::make_shared<const Type>(std::move(inner));
    } else {
      fields.keep(unknown);
    }
  }
  keep_wrapped(type.unknown_fields, number, unknown);
}

// Another alternative of the oneof replaces the one before it.
void become(Type& type, Type::Kind kind) {
  if (type.kind == kind) return;
  Type fresh;
  fresh.kind = kind;
  fresh.denotation = std::move(type.denotation);
  fresh.unknown_fields = std::move(type.unknown_fields);
  type = std::move(fresh);
}

}  // namespace

void read_type(std::string_view message, Type& type, int depth) {
  MC_CHECK(depth <= kMaxDepth, "a type is nested deeper than {} levels", kMaxDepth);
  Fields fields(message, "TypeProto");
  while (fields.next()) {
    const field::Number number = fields.number();
    switch (number) {
      case field::type::kTensor:
      case field::type::kSparseTensor:
        become(type, number == field::type::kTensor ? Type::Kind::kTensor : Type::Kind::kSparseTensor);
        read_tensor_type(fields.bytes(), number, type);
        break;
      case field::type::kSequence:
      case field::type::kOptional:
      case field::type::kMap:
        become(type, number == field::type::kSequence   ? Type::Kind::kSequence
                     : number == field::type::kOptional ? Type::Kind::kOptional
                                                        : Type::Kind::kMap);
        read_container(fields.bytes(), number, type, depth);
        break;
      case field::type::kDenotation:
        type.denotation = fields.text();
        break;
      default:
        fields.keep(type.unknown_fields);
        break;
    }
  }
}

}  // namespace mc
