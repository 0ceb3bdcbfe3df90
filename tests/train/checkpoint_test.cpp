#include "mc/train/checkpoint.h"

#include <cstring>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "mc/base/file.h"
#include "tests/train/training.h"

namespace mc::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;

std::string with_length(const std::string& header, const std::string& data = {}) {
  uint64_t size = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  return file + header + data;
}

std::string read_error(const std::string& bytes) {
  TemporaryFolder folder;
  std::ofstream(folder / "x.safetensors", std::ios::binary) << bytes;
  return error_of([&] { read_safetensors(folder / "x.safetensors"); });
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

TEST(Safetensors, GivesBackEveryTypeShapeAndValue) {
  TensorMap tensors;
  for (auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                    at::kChar, at::kByte, at::kBool}) {
    tensors[c10::toString(type)] = (random_tensor({3, 5}, 1).abs() * 9).to(type);
  }
  tensors["scalar"] = at::scalar_tensor(std::numeric_limits<double>::denorm_min(), at::kDouble);
  tensors["empty"] = at::empty({0, 4});
  tensors["odd name \"/\\\u00e9"] = random_tensor({4, 6}, 2).t();  // not contiguous
  tensors["channels_last"] = random_tensor({2, 3, 4, 4}, 3).contiguous(at::MemoryFormat::ChannelsLast);
  TemporaryFolder folder;
  write_safetensors(folder / "x", tensors, {{"made_by", "a test"}});
  TensorMap read = read_safetensors(folder / "x");
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(read.contains(name)) << name;
    EXPECT_EQ(read[name].scalar_type(), tensor.scalar_type());
    EXPECT_TRUE(at::equal(read[name], tensor)) << name;
  }
}

// The bytes that the format's description asks for.
TEST(Safetensors, WritesTheDocumentedBytes) {
  TemporaryFolder folder;
  write_safetensors(folder / "x",
                    {{"a", at::tensor(std::vector<int64_t>{1, 2}).to(at::kByte)}, {"b", at::tensor({1.0f})}},
                    {{"k", "v"}});
  std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                       R"("a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})";
  header.append((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(folder / "x"), with_length(header, std::string("\0\0\x80\x3f\x01\x02", 6)));
}

TEST(Safetensors, ReadsWhatOthersWrite) {
  TemporaryFolder folder;
  std::ofstream(folder / "x", std::ios::binary) << with_length(
      R"({"__metadata__":{"format":"pt"},"w":{"shape":[2,1],"dtype":"I16","data_offsets":[0,4]}}   )",
      std::string("\x01\x00\xff\xff", 4));
  TensorMap read = read_safetensors(folder / "x");
  EXPECT_TRUE(at::equal(read.at("w"), at::tensor(std::vector<int64_t>{1, -1}).to(at::kShort).view({2, 1})));
}

TEST(Safetensors, RefusesBrokenFiles) {
  EXPECT_THAT(read_error(""), HasSubstr("too short"));
  EXPECT_THAT(read_error(std::string(8, '\xff') + "{}"), HasSubstr("cut short or no safetensors file"));
  EXPECT_THAT(read_error(with_length("{}").substr(0, 9)), HasSubstr("cut short"));
  EXPECT_THAT(read_error(with_length("[1]")), HasSubstr("no JSON object"));
  EXPECT_THAT(read_error(with_length("{\"t\":")), HasSubstr("no JSON object"));
  EXPECT_THAT(read_error(with_length(std::string(100'000, '['))), HasSubstr("no JSON object"));
  EXPECT_THAT(read_error(with_length(R"({"t":7})")), HasSubstr("tensor 't': 'dtype' is missing"));
  EXPECT_THAT(read_error(with_length(entry("F31", "[1]", "[0,4]"), "abcd")),
              HasSubstr("unknown dtype 'F31'"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[-1]", "[0,4]"), "abcd")), HasSubstr("whole numbers"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[1.5]", "[0,4]"), "abcd")), HasSubstr("whole numbers"));
  EXPECT_THAT(read_error(with_length(entry("F32", "{}", "[0,4]"), "abcd")),
              HasSubstr("'shape' must be a list"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[1]", "[0]"), "abcd")), HasSubstr("two numbers"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[1]", "[4,0]"), "abcd")),
              HasSubstr("data_offsets [4, 0]"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[2]", "[0,8]"), "abcd")),
              HasSubstr("cut short or broken"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[2]", "[0,4]"), "abcd")), HasSubstr("need 8 bytes"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[4294967296,4294967296]", "[0,4]"), "abcd")),
              HasSubstr("overflow"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[18446744073709551615]", "[0,4]"), "abcd")),
              HasSubstr("too large"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[1]", "[4,8]"), "abcdefgh")), HasSubstr("leave a hole"));
  EXPECT_THAT(read_error(with_length(entry("F32", "[1]", "[0,4]"), "abcdefgh")), HasSubstr("cover 4 of 8"));
  EXPECT_THAT(read_error(with_length(entry("BOOL", "[1]", "[0,1]"), "\x02")), HasSubstr("neither 0 nor 1"));
  std::string two = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                    R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})";
  EXPECT_THAT(read_error(with_length(two, "abc")), HasSubstr("overlap"));
}

// Every file that is cut short, and every one with a bit turned over, is read or refused, nothing else.
TEST(Safetensors, SurvivesEveryCutAndFlippedBit) {
  TemporaryFolder folder;
  write_safetensors(folder / "x", {{"a", at::ones({3})}, {"b", at::ones({2, 2}, at::kBool)}});
  const std::string whole = read_file(folder / "x");
  int refused = 0, runs = 0;
  auto attempt = [&](const std::string& bytes) {
    ++runs;
    std::ofstream(folder / "y", std::ios::binary | std::ios::trunc) << bytes;
    try {
      read_safetensors(folder / "y");
    } catch (const Error&) {
      ++refused;
    }
  };
  for (size_t size = 0; size < whole.size(); ++size) attempt(whole.substr(0, size));
  EXPECT_EQ(refused, runs);
  for (size_t i = 0; i < 8 * whole.size(); i += 3) {
    std::string broken = whole;
    broken[i / 8] = static_cast<char>(broken[i / 8] ^ (1 << (i % 8)));
    attempt(broken);
  }
  EXPECT_GT(refused, static_cast<int>(whole.size()));
}

TEST(Safetensors, RefusesWhatItCannotHold) {
  TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { write_safetensors(folder / "x", {{"c", at::zeros({1}, at::kComplexFloat)}}); }),
              HasSubstr("tensor 'c' has element type ComplexFloat"));
  EXPECT_THAT(error_of([&] { write_safetensors(folder / "x", {{"u", at::Tensor()}}); }),
              HasSubstr("undefined"));
  EXPECT_THAT(error_of([&] { write_safetensors(folder / "x", {}, {{"k", 1}}); }), HasSubstr("must be text"));
  EXPECT_FALSE(fs::exists(folder / "x"));
}

Checkpoint sample(double value) {
  return {{{"t", at::full({1000}, value)}}, {{"value", value}}};
}

TEST(Checkpoint, ReplacesThePreviousOneAndLeavesNothingElse) {
  TemporaryFolder folder;
  EXPECT_FALSE(has_checkpoint(folder / "c"));
  for (double value : {1.0, 2.0, 3.0}) {
    write_checkpoint(folder / "c", sample(value));
    Checkpoint read = read_checkpoint(folder / "c");
    EXPECT_TRUE(at::equal(read.tensors.at("t"), at::full({1000}, value)));
    EXPECT_EQ(read.state["value"], value);
  }
  EXPECT_TRUE(has_checkpoint((folder / "c").string() + "/"));
  int entries = 0;
  for (const auto& found : fs::directory_iterator(folder.path())) entries += found.exists();
  EXPECT_EQ(entries, 1);
}

TEST(Checkpoint, NamesWhatIsMissingOrBroken) {
  TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { read_checkpoint(folder / "c"); }), HasSubstr("there is no checkpoint"));
  write_checkpoint(folder / "c", sample(1));
  std::ofstream(folder / "c" / "state.json") << "{\"value\": ";
  EXPECT_THAT(error_of([&] { read_checkpoint(folder / "c"); }), HasSubstr("state.json: is no JSON object"));
  std::ofstream(folder / "c" / "tensors.safetensors") << "x";
  EXPECT_THAT(error_of([&] { read_checkpoint(folder / "c"); }),
              HasSubstr("tensors.safetensors: is too short"));
}

TEST(Checkpoint, FindsThePreviousOneWhenAWriteWasCutOff) {
  TemporaryFolder folder;
  write_checkpoint(folder / "c", sample(1));
  fs::rename(folder / "c", folder / ".c.previous");
  fs::create_directory(folder / ".c.tmp");
  ASSERT_TRUE(has_checkpoint(folder / "c"));
  EXPECT_EQ(read_checkpoint(folder / "c").state["value"], 1);
  write_checkpoint(folder / "c", sample(2));
  EXPECT_EQ(read_checkpoint(folder / "c").state["value"], 2);
  EXPECT_FALSE(fs::exists(folder / ".c.previous"));
}

TEST(Checkpoint, RefusesAnImpossibleFolder) {
  TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  EXPECT_THAT(error_of([&] { write_checkpoint(folder / "file" / "c", sample(1)); }),
              HasSubstr("cannot write checkpoint"));
}

// A limit on the size of files stands for a full disk.
TEST(Checkpoint, KeepsThePreviousOneWhenTheDiskIsFull) {
  TemporaryFolder folder;
  write_checkpoint(folder / "c", sample(1));
  auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{}, small{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = {2048, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message = error_of([&] { write_checkpoint(folder / "c", sample(2)); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  EXPECT_THAT(message, HasSubstr("cannot write checkpoint"));
  EXPECT_EQ(read_checkpoint(folder / "c").state["value"], 1);
  EXPECT_FALSE(fs::exists(folder / ".c.tmp"));
}

}  // namespace
}  // namespace mc::testing
