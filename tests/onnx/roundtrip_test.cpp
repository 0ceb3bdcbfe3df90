#include <filesystem>

#include <gmock/gmock.h>
#include <protozero/pbf_writer.hpp>

#include "mc/base/error.h"
#include "mc/onnx/onnx.h"
#include "tests/base/temporary_folder.h"
#include "tests/fuzz/onnx_target.h"
#include "tests/graph/everything.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Model parse(const std::string& bytes) {
  return parse_onnx(std::as_bytes(std::span(bytes)), nullptr);
}

// A model around one initializer, given as the content of its TensorProto.
std::string model_around(const std::string& tensor) {
  std::string graph;
  protozero::pbf_writer graph_writer(graph);
  graph_writer.add_string(2, "g");
  graph_writer.add_message(5, tensor);
  std::string model;
  protozero::pbf_writer writer(model);
  writer.add_int64(1, 10);
  writer.add_message(7, graph);
  writer.add_message(8, std::string("\x10\x11", 2));  // version 17
  return model;
}

Tensor only_tensor(const std::string& message) {
  const auto bytes = std::make_shared<const std::string>(model_around(message));
  return parse_onnx(std::as_bytes(std::span(*bytes)), bytes).graph.initializers()[0].tensor;
}

std::string tensor_head(DType type, std::initializer_list<int64_t> dims) {
  std::string message;
  protozero::pbf_writer writer(message);
  writer.add_packed_int64(1, dims.begin(), dims.end());
  writer.add_int32(2, static_cast<int32_t>(type));
  writer.add_string(8, "w");
  return message;
}

TEST(OnnxTest, EverythingSurvivesTheFile) {
  const Model model = parse_model(kEverything);
  const std::string bytes = to_bytes(model);
  EXPECT_TRUE(check_onnx_bytes(std::as_bytes(std::span(bytes))));
  const Model again = parse(bytes);
  EXPECT_EQ(print(again, true), print(model, true));
}

TEST(OnnxTest, WritesAFileThatReadsBackEqual) {
  const TemporaryFolder folder;
  const Model model = parse_model(kEverything);
  write_onnx(model, folder.path() / "m.onnx");
  EXPECT_TRUE(read_onnx(folder.path() / "m.onnx") == model);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m.onnx.data"));
}

TEST(OnnxTest, RawAndPackedFloatsAreViewsIntoTheFile) {
  std::string raw = tensor_head(DType::kFloat, {2});
  protozero::pbf_writer(raw).add_bytes(9, std::string(8, '\1'));
  std::string packed = tensor_head(DType::kFloat, {2});
  const float values[] = {1.5f, -2.0f};
  protozero::pbf_writer(packed).add_packed_float(4, values, values + 2);
  for (const std::string& tensor : {raw, packed}) {
    const std::string bytes = model_around(tensor);
    const Model model = parse(bytes);
    const auto* data =
        reinterpret_cast<const char*>(model.graph.initializers()[0].tensor.data.bytes().data());
    EXPECT_GE(data, bytes.data());
    EXPECT_LE(data + 8, bytes.data() + bytes.size());
  }
  EXPECT_THAT(only_tensor(packed).as_doubles(), ElementsAre(1.5, -2.0));
}

TEST(OnnxTest, TypedElementsBecomeRaw) {
  const auto with_int32 = [](DType type, std::initializer_list<int64_t> dims,
                             std::initializer_list<int32_t> values) {
    std::string message = tensor_head(type, dims);
    protozero::pbf_writer(message).add_packed_int32(5, values.begin(), values.end());
    return only_tensor(message);
  };
  EXPECT_THAT(with_int32(DType::kInt8, {2}, {-128, 127}).as_ints(), ElementsAre(-128, 127));
  EXPECT_THAT(with_int32(DType::kFloat16, {1}, {0xBC00}).as_doubles(), ElementsAre(-1.0));
  EXPECT_THAT(with_int32(DType::kInt4, {3}, {0x8F, 0x07}).as_ints(),
              ElementsAre(-1, -8, 7));  // two in a value
  EXPECT_THAT(with_int32(DType::kUInt2, {5}, {0xE4, 0x02}).as_ints(), ElementsAre(0, 1, 2, 3, 2));
  EXPECT_THAT(with_int32(DType::kFloat6E2M3, {3}, {8, 31, 1}).as_doubles(), ElementsAre(1.0, 7.5, 0.125));
  EXPECT_THROW(with_int32(DType::kInt8, {1}, {300}), Error);
  EXPECT_THROW(with_int32(DType::kInt8, {2}, {1}), Error);
  EXPECT_THROW(with_int32(DType::kInt8, {1}, {1, 2}), Error);
  EXPECT_THROW(with_int32(DType::kInt64, {1}, {1}), Error);
}

TEST(OnnxTest, UnpackedRepeatedFieldsAreReadToo) {
  std::string message = tensor_head(DType::kInt64, {2});
  protozero::pbf_writer writer(message);
  writer.add_int64(7, 5);
  writer.add_int64(7, -6);
  EXPECT_THAT(only_tensor(message).as_ints(), ElementsAre(5, -6));
}

TEST(OnnxTest, AnOldFileWithoutAttributeTypesIsUnderstood) {
  std::string attribute;
  protozero::pbf_writer(attribute).add_string(1, "axis");
  protozero::pbf_writer(attribute).add_int64(3, -1);
  std::string node;
  protozero::pbf_writer node_writer(node);
  node_writer.add_string(4, "Op");
  node_writer.add_message(5, attribute);
  std::string graph;
  protozero::pbf_writer(graph).add_message(1, node);
  std::string model;
  protozero::pbf_writer writer(model);
  writer.add_int64(1, 1);
  writer.add_message(7, graph);
  EXPECT_EQ(parse(model).graph.nodes[0].get_int("axis", 0), -1);
}

TEST(OnnxTest, MessagesInPiecesAreMerged) {
  const Model model = parse_model("<opset_import: [\"\": 17]> g (float x) => (float y) { y = Relu(x) }");
  std::string graph_with_doc;
  protozero::pbf_writer(graph_with_doc).add_string(10, "late");
  std::string bytes = to_bytes(model);
  protozero::pbf_writer(bytes).add_message(7, graph_with_doc);
  const Model merged = parse(bytes);
  EXPECT_EQ(merged.graph.doc, "late");
  EXPECT_EQ(merged.graph.nodes.size(), 1u);
}

TEST(OnnxTest, WriterRefusesWhatVerifyRefuses) {
  const TemporaryFolder folder;
  Model model = parse_model("<opset_import: [\"\": 17]> g (float x) => (float y) { y = Relu(z) }");
  try {
    write_onnx(model, folder.path() / "m.onnx");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("m.onnx: graph 'g': node 'y' (Relu): its input 'z'"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace mc
