#include <filesystem>

#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/onnx/onnx.h"
#include "mc/onnx/write_fields.h"
#include "tests/base/temporary_folder.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Model two_weights() {
  Model model =
      parse_model("<ir_version: 10, opset_import: [\"\": 17]> g () => (float[600] a, float[2,500] b) { }");
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  model.graph.add_initializer("a", Tensor::floats({600}, std::span(values).first(600)));
  model.graph.add_initializer("b", Tensor::floats({2, 500}, values));
  model.graph.add_initializer("small", Tensor::scalar(3));
  return model;
}

// A model of one float[4] whose data is outside.
void write_reference(const fs::path& path, const Metadata& entries) {
  std::string tensor;
  put_integer(tensor, 1, 4);
  put_integer(tensor, 2, 1);
  put_text(tensor, 8, "w");
  put_metadata(tensor, 13, entries);
  put_integer(tensor, 14, 1);
  std::string model;
  put_integer(model, 1, 10);
  put_message(model, 7, [&] { put_text(model, 5, tensor); });
  write_file_atomic(path, model);
}

std::string error_of(const fs::path& path) {
  try {
    read_onnx(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class ExternalDataTest : public ::testing::Test {
 protected:
  fs::path model() const { return folder_.path() / "inner" / "m.onnx"; }

  void SetUp() override {
    fs::create_directory(folder_.path() / "inner");
    write_file_atomic(folder_.path() / "secret", std::string(16, 's'));
    write_file_atomic(folder_.path() / "inner" / "data", std::string(20, '\0'));
  }

  std::string refused(const Metadata& entries) {
    write_reference(model(), entries);
    return error_of(model());
  }

  TemporaryFolder folder_;
};

TEST_F(ExternalDataTest, LargeWeightsGoToAnAlignedFile) {
  write_onnx(two_weights(), model(), {.external_data = true});
  EXPECT_EQ(fs::file_size(model().string() + ".data"), 4096u + 4000u);
  EXPECT_LT(fs::file_size(model()), 1000u);
  const Model again = read_onnx(model());
  EXPECT_TRUE(again == two_weights());
  for (const char* name : {"a", "b"}) {
    const auto address =
        reinterpret_cast<uintptr_t>(again.graph.initializer(name)->tensor.data.bytes().data());
    EXPECT_EQ(address % 4096, 0u) << name;
  }
}

TEST_F(ExternalDataTest, AModelMayBeWrittenOverItself) {
  write_onnx(two_weights(), model(), {.external_data = true});
  const Model mapped = read_onnx(model());
  write_onnx(mapped, model(), {.external_data = true});
  EXPECT_TRUE(read_onnx(model()) == two_weights());
  EXPECT_TRUE(mapped == two_weights());
}

TEST_F(ExternalDataTest, OffsetsAndLengthsAreFollowed) {
  write_reference(model(), {{"location", "data"}, {"offset", "4"}, {"length", "16"}});
  EXPECT_EQ(read_onnx(model()).graph.initializer("w")->tensor.data.size(), 16u);
  write_reference(model(), {{"location", "./data"}});
  EXPECT_EQ(read_onnx(model()).graph.initializer("w")->tensor.data.size(), 16u);
}

TEST_F(ExternalDataTest, PathsOutOfTheFolderAreRefused) {
  EXPECT_THAT(refused({{"location", "../secret"}}), HasSubstr("must be a path below the model's folder"));
  EXPECT_THAT(refused({{"location", "x/../../secret"}}), HasSubstr("must be a path below"));
  EXPECT_THAT(refused({{"location", (folder_.path() / "secret").string()}}),
              HasSubstr("must be a path below"));
  EXPECT_THAT(refused({{"location", ""}}), HasSubstr("must be a path below"));
  EXPECT_THAT(refused({{"location", std::string("data\0x", 6)}}), HasSubstr("holds a zero byte"));
  EXPECT_THAT(refused({{"offset", "0"}}), HasSubstr("names no location"));
}

TEST_F(ExternalDataTest, LinksOutOfTheFolderAreRefused) {
  fs::create_symlink("../secret", folder_.path() / "inner" / "file_link");
  fs::create_directory_symlink("..", folder_.path() / "inner" / "folder_link");
  EXPECT_THAT(refused({{"location", "file_link"}}), HasSubstr("leads out of the model's folder"));
  EXPECT_THAT(refused({{"location", "folder_link/secret"}}), HasSubstr("leads out of the model's folder"));
  fs::create_symlink("data", folder_.path() / "inner" / "good_link");
  write_reference(model(), {{"location", "good_link"}});
  EXPECT_EQ(error_of(model()), "no error");
}

TEST_F(ExternalDataTest, RangesOutsideTheFileAreRefused) {
  EXPECT_THAT(refused({{"location", "data"}, {"offset", "5"}}),
              HasSubstr("initializer 'w': external data 'data' has 20 bytes, but 16 bytes at offset 5"));
  EXPECT_THAT(refused({{"location", "data"}, {"offset", "18446744073709551615"}, {"length", "16"}}),
              HasSubstr("are asked for"));
  EXPECT_THAT(refused({{"location", "data"}, {"length", "12"}}),
              HasSubstr("needs 16 bytes for float[4], has 12"));
  EXPECT_THAT(refused({{"location", "data"}, {"offset", "-4"}}), HasSubstr("is no number"));
  EXPECT_THAT(refused({{"location", "data"}, {"offset", ""}}), HasSubstr("is no number"));
}

TEST_F(ExternalDataTest, MissingAndOddFilesAreNamed) {
  EXPECT_THAT(refused({{"location", "absent"}}), HasSubstr("absent"));
  fs::create_directory(folder_.path() / "inner" / "sub");
  EXPECT_THAT(refused({{"location", "sub"}}), HasSubstr("is no regular file"));
}

TEST_F(ExternalDataTest, ModelsFromMemoryHaveNoFolder) {
  write_reference(model(), {{"location", "data"}});
  const std::string bytes = read_file(model());
  EXPECT_THROW(parse_onnx(std::as_bytes(std::span(bytes)), nullptr), Error);
  EXPECT_NO_THROW(parse_onnx(std::as_bytes(std::span(bytes)), nullptr, folder_.path() / "inner"));
}

}  // namespace
}  // namespace mc
