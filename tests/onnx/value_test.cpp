// Values in files of their own: what ONNX's test data consists of.
#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/onnx/onnx.h"

namespace mc {
namespace {

// A length-delimited protobuf field of fewer than 128 bytes.
std::string bytes_field(int number, const std::string& content) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(content.size())} + content;
}

std::string number_field(int number, char value) {
  return {static_cast<char>(number << 3), value};
}

// A TensorProto of int8 (data type 3) elements.
std::string small_tensor(const std::string& elements) {
  return number_field(1, static_cast<char>(elements.size())) + number_field(2, 3) + bytes_field(9, elements);
}

Type container_type(Type::Kind kind, Type element) {
  Type type;
  type.kind = kind;
  type.element = std::make_shared<const Type>(std::move(element));
  return type;
}

StoredValue parse_stored(const std::string& bytes, const Type& type) {
  return parse_value_proto(std::as_bytes(std::span(bytes)), type);
}

const Type kSmallTensor = Type::tensor(DType::kInt8);
const Type kTensorSequence = container_type(Type::Kind::kSequence, kSmallTensor);
const Type kOptionalTensor = container_type(Type::Kind::kOptional, kSmallTensor);

TEST(Value, ReadsTensorsSequencesAndOptionals) {
  EXPECT_EQ(parse_stored(small_tensor("\1\2"), kSmallTensor).tensor.as_ints(), (std::vector<int64_t>{1, 2}));
  // Name and kind of the elements stand before them.
  const std::string sequence = bytes_field(1, "s") + number_field(2, 1) +
                               bytes_field(3, small_tensor("\1\2")) + bytes_field(3, small_tensor("\3"));
  const StoredValue value = parse_stored(sequence, kTensorSequence);
  EXPECT_EQ(value.kind, Type::Kind::kSequence);
  ASSERT_EQ(value.elements.size(), 2u);
  EXPECT_EQ(value.elements[1].tensor.as_ints(), (std::vector<int64_t>{3}));
  const StoredValue some = parse_stored(number_field(2, 3) + bytes_field(5, sequence), kOptionalTensor);
  EXPECT_EQ(some.kind, Type::Kind::kOptional);
  ASSERT_EQ(some.elements.size(), 1u);
  EXPECT_EQ(some.elements[0].elements.size(), 2u);
  EXPECT_EQ(parse_stored(bytes_field(3, small_tensor("\7")), kOptionalTensor).elements[0].tensor.as_ints()[0],
            7);
  EXPECT_TRUE(parse_stored(bytes_field(1, "o") + number_field(2, 0), kOptionalTensor).elements.empty());
  EXPECT_TRUE(parse_stored("", kTensorSequence).elements.empty());
}

TEST(Value, RefusesBrokenBytes) {
  const std::string whole = bytes_field(3, small_tensor("\1\2"));
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_THROW(parse_stored(whole.substr(0, size), kTensorSequence), Error) << size;
  }
  EXPECT_THROW(parse_stored(whole + whole, kOptionalTensor), Error);  // two values
  EXPECT_THROW(parse_stored(whole, container_type(Type::Kind::kMap, kSmallTensor)), Error);
  EXPECT_THROW(parse_stored(whole, Type()), Error);
}

TEST(Value, RefusesEndlessNesting) {
  std::string sequence = bytes_field(3, small_tensor("\1"));
  const auto wrap = [](const std::string& content) {  // two bytes of length
    const size_t size = content.size();
    return std::string{5 << 3 | 2, static_cast<char>(0x80 | (size & 0x7F)), static_cast<char>(size >> 7)} +
           content;
  };
  for (int depth = 0; depth < 20; ++depth) sequence = wrap(sequence);
  EXPECT_NO_THROW(parse_stored(sequence, kTensorSequence));
  for (int depth = 0; depth < 60; ++depth) sequence = wrap(sequence);
  EXPECT_THROW(parse_stored(sequence, kTensorSequence), Error);
}

}  // namespace
}  // namespace mc
