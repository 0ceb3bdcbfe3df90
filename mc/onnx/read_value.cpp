// Values in files of their own: TensorProto, SequenceProto, OptionalProto.
#include "mc/base/error.h"
#include "mc/onnx/onnx.h"
#include "mc/onnx/read_tensor.h"
#include "mc/onnx/schema.h"

namespace mc {
namespace {

StoredValue read_value(std::string_view message, Type::Kind kind, TensorSource& source, int depth);

StoredValue read_tensor_value(std::string_view message, TensorSource& source) {
  StoredValue value;
  std::string name;
  value.tensor = read_tensor(message, source, name);
  return value;
}

StoredValue read_sequence(std::string_view message, TensorSource& source, int depth) {
  StoredValue value;
  value.kind = Type::Kind::kSequence;
  std::string others;  // the name, the kind of the elements
  Fields fields(message, "SequenceProto");
  while (fields.next()) {
    switch (fields.number()) {
      case field::sequence::kTensors:
        value.elements.push_back(read_tensor_value(fields.bytes(), source));
        break;
      case field::sequence::kSequences:
        value.elements.push_back(read_value(fields.bytes(), Type::Kind::kSequence, source, depth + 1));
        break;
      case field::sequence::kOptionals:
        value.elements.push_back(read_value(fields.bytes(), Type::Kind::kOptional, source, depth + 1));
        break;
      default:
        fields.keep(others);
        break;
    }
  }
  return value;
}

StoredValue read_optional(std::string_view message, TensorSource& source, int depth) {
  StoredValue value;
  value.kind = Type::Kind::kOptional;
  std::string others;
  Fields fields(message, "OptionalProto");
  while (fields.next()) {
    switch (fields.number()) {
      case field::optional::kTensor:
        value.elements.push_back(read_tensor_value(fields.bytes(), source));
        break;
      case field::optional::kSequence:
        value.elements.push_back(read_value(fields.bytes(), Type::Kind::kSequence, source, depth + 1));
        break;
      default:
        fields.keep(others);
        break;
    }
  }
  MC_CHECK(value.elements.size() <= 1, "an optional holds {} values", value.elements.size());
  return value;
}

StoredValue read_value(std::string_view message, Type::Kind kind, TensorSource& source, int depth) {
  MC_CHECK(depth < kMaxDepth, "sequences nest more than {} deep", kMaxDepth);
  switch (kind) {
    case Type::Kind::kTensor:
      return read_tensor_value(message, source);
    case Type::Kind::kSequence:
      return read_sequence(message, source, depth);
    case Type::Kind::kOptional:
      return read_optional(message, source, depth);
    default:
      fail("values of this type cannot be read; tensors, sequences and optionals can");
  }
}

}  // namespace

Tensor parse_tensor_proto(std::span<const std::byte> bytes) {
  return parse_value_proto(bytes, Type::tensor(DType::kUndefined)).tensor;
}

StoredValue parse_value_proto(std::span<const std::byte> bytes, const Type& type) {
  const Buffer copy = Buffer::copy_of(bytes);
  TensorSource source{copy.owner(), ExternalFiles({})};
  return read_value({reinterpret_cast<const char*>(copy.bytes().data()), copy.size()}, type.kind, source, 0);
}

}  // namespace mc
