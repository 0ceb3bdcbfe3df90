#include <filesystem>
#include <span>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/data/dataset.h"
#include "mc/data/file_part.h"
#include "tests/base/error_of.h"
#include "tests/data/archive.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::vector<float> kSix = {1.5f, -2, 3, 4, 5, 6};

at::Tensor read_one(const std::string& array) {
  const fs::path path = write(test_folder() / "a.npz", zip({{"x.npy", array}}));
  return all(*open_npz({path})).inputs.at(0);
}

TEST(Npz, ReadsStoredAndDeflatedArraysAndLabels) {
  const fs::path path = write(test_folder() / "set.npz",
                              zip({{"image.npy", npy_of("<f4", "(3, 2)", kSix), true},
                                   {"ids.npy", npy_of<int64_t>("<i8", "(3,)", {7, 8, 9})},
                                   {"labels.npy", npy_of<int32_t>("<i4", "(3,)", {0, 4, 1}), true}}));
  auto set = open_dataset(path.string(), "train");
  EXPECT_EQ(set->size(), 3);
  EXPECT_EQ(set->classes(), 5);
  ASSERT_EQ(set->fields().size(), 2u);
  EXPECT_EQ(set->fields()[0].name, "image");
  EXPECT_EQ(set->fields()[0].shape, (std::vector<int64_t>{2}));
  EXPECT_EQ(set->fields()[1].dtype, at::kLong);
  Batch batch = set->get(std::vector<int64_t>{2, 0});
  EXPECT_TRUE(batch.inputs[0].equal(at::tensor({5.f, 6.f, 1.5f, -2.f}).view({2, 2})));
  EXPECT_TRUE(batch.inputs[1].equal(at::tensor({9, 7}, at::kLong)));
  EXPECT_TRUE(batch.labels.equal(at::tensor({1, 0}, at::kLong)));
}

TEST(Npz, GivesTheWantedArraysInOrder) {
  const fs::path path = write(test_folder() / "set.npz", zip({{"a.npy", npy_of("<f4", "(3, 2)", kSix)},
                                                              {"b.npy", npy_of("<f4", "(3, 2)", kSix)},
                                                              {"c.npy", npy_of("<f4", "(3, 2)", kSix)}}));
  auto set = open_dataset(path.string(), "", {{"c", at::kFloat, {2}}, {"a", at::kFloat, {2}}});
  ASSERT_EQ(set->fields().size(), 2u);
  EXPECT_EQ(set->fields()[0].name, "c");
  EXPECT_EQ(set->fields()[1].name, "a");
  EXPECT_FALSE(set->labelled());
  EXPECT_THAT(error_of([&] { open_npz({path}, {"input"}); }),
              AllOf(HasSubstr(path.string()), HasSubstr("'input'"), HasSubstr("a, b, c")));
}

TEST(Npz, ReadsZip64) {
  const fs::path path =
      write(test_folder() / "set.npz", zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix), true, true},
                                            {"y.npy", npy_of("<f4", "(3, 2)", kSix), false, true}},
                                           true));
  Batch batch = all(*open_npz({path}));
  EXPECT_TRUE(batch.inputs.at(0).equal(at::tensor(kSix).view({3, 2})));
  EXPECT_TRUE(batch.inputs.at(1).equal(at::tensor(kSix).view({3, 2})));
}

TEST(Npz, ReadsEveryElementType) {
  EXPECT_TRUE(read_one(npy_of<uint8_t>("|u1", "(2,)", {0, 255})).equal(at::tensor({0, 255}, at::kByte)));
  EXPECT_TRUE(read_one(npy_of<int8_t>("|i1", "(2,)", {-128, 127})).equal(at::tensor({-128, 127}, at::kChar)));
  EXPECT_TRUE(read_one(npy_of<int16_t>("<i2", "(2,)", {-300, 5})).equal(at::tensor({-300, 5}, at::kShort)));
  EXPECT_TRUE(read_one(npy_of<int32_t>("<i4", "(1,)", {-70000})).equal(at::tensor({-70000}, at::kInt)));
  EXPECT_TRUE(
      read_one(npy_of<int64_t>("<i8", "(1,)", {1LL << 40})).equal(at::tensor({int64_t{1} << 40}, at::kLong)));
  EXPECT_TRUE(read_one(npy_of<uint16_t>("<f2", "(1,)", {0x3E00})).equal(at::tensor({1.5f}).to(at::kHalf)));
  EXPECT_TRUE(read_one(npy_of<double>("<f8", "(1,)", {0.1})).equal(at::tensor({0.1}, at::kDouble)));
  EXPECT_TRUE(read_one(npy_of<uint8_t>("|b1", "(3,)", {0, 1, 2})).equal(at::tensor({0, 1, 1}).to(at::kBool)));
  EXPECT_TRUE(read_one(npy_of<uint16_t>(">i2", "(1,)", {0x0201})).equal(at::tensor({0x0102}, at::kShort)));
}

TEST(Npz, ReadsFortranOrderAndEveryVersion) {
  // Column by column: [[1, 2, 3], [4, 5, 6]].
  at::Tensor expected = at::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}).view({2, 3});
  const std::string columns = raw(std::vector<float>{1, 4, 2, 5, 3, 6});
  for (int version : {1, 2, 3}) {
    EXPECT_TRUE(read_one(npy("<f4", "(2, 3)", columns, "True", version)).equal(expected)) << version;
  }
  EXPECT_TRUE(read_one(npy("<f4", "(2L, 3L)", raw(std::vector<float>{1, 2, 3, 4, 5, 6}))).equal(expected));
}

TEST(Npz, JoinsTheFilesOfAFolder) {
  const fs::path folder = test_folder();
  write(folder / "b.npz", zip({{"x.npy", npy_of<float>("<f4", "(1, 2)", {7, 8})},
                               {"labels.npy", npy_of<int64_t>("<i8", "(1,)", {2})}}));
  write(folder / "a.npz", zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix)},
                               {"labels.npy", npy_of<int64_t>("<i8", "(3,)", {0, 1, 0})}}));
  auto set = open_dataset(folder.string(), "train");
  EXPECT_EQ(set->size(), 4);
  EXPECT_EQ(set->classes(), 3);
  Batch batch = set->get(std::vector<int64_t>{3, 2});
  EXPECT_TRUE(batch.inputs[0].equal(at::tensor({7.f, 8.f, 5.f, 6.f}).view({2, 2})));
  EXPECT_TRUE(batch.labels.equal(at::tensor({2, 0}, at::kLong)));
}

TEST(Npz, FindsTheSplitOfAFolder) {
  const fs::path folder = test_folder();
  write(folder / "train.npz", zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix)}}));
  write(folder / "test.npz", zip({{"x.npy", npy_of("<f4", "(6,)", kSix)}}));
  EXPECT_EQ(open_dataset(folder.string(), "train")->size(), 3);
  EXPECT_EQ(open_dataset(folder.string(), "test")->size(), 6);
  const fs::path nested = test_folder();
  write(nested / "test" / "1.npz", zip({{"x.npy", npy_of("<f4", "(6,)", kSix)}}));
  EXPECT_EQ(open_dataset(nested.string(), "test")->size(), 6);
}

TEST(Npz, KeepsShapesThatVaryApart) {
  const fs::path folder = test_folder();
  write(folder / "a.npz", zip({{"x.npy", npy_of("<f4", "(1, 2, 3)", kSix)}}));
  write(folder / "b.npz", zip({{"x.npy", npy_of("<f4", "(1, 2, 1)", std::vector<float>{1, 2})}}));
  auto set = open_dataset(folder.string(), "");
  EXPECT_EQ(set->fields()[0].shape, (std::vector<int64_t>{2, -1}));
  EXPECT_EQ(set->get(std::vector<int64_t>{1}).inputs[0].sizes(), (std::vector<int64_t>{1, 2, 1}));
  EXPECT_THAT(error_of([&] { all(*set); }),
              AllOf(HasSubstr("'x'"), HasSubstr("[2, 3]"), HasSubstr("[2, 1]")));
}

TEST(Npz, TakesFloatLabelsForRegression) {
  const fs::path path =
      write(test_folder() / "set.npz", zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix)},
                                            {"labels.npy", npy_of<double>("<f8", "(3,)", {.5, 1, 2})}}));
  auto set = open_npz({path});
  EXPECT_EQ(set->classes(), 0);
  EXPECT_TRUE(all(*set).labels.equal(at::tensor({.5f, 1.f, 2.f})));
}

std::string npz_error(const std::vector<ZipItem>& items) {
  const fs::path path = write(test_folder() / "bad.npz", zip(items));
  const std::string error = error_of([&] { open_npz({path}); });
  EXPECT_THAT(error, HasSubstr(path.string()));
  return error;
}

TEST(BrokenNpz, Arrays) {
  EXPECT_THAT(npz_error({{"x.npy", npy("|O", "(1,)", "cos\nsystem\n")}}),
              AllOf(HasSubstr("'x'"), HasSubstr("pickled")));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<c8", "(3,)", kSix)}}), HasSubstr("'<c8'"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(3, 3)", kSix)}}), HasSubstr("'x'"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(5,)", kSix)}}), HasSubstr("behind its last element"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(4611686018427387904, 8)", kSix)}}),
              HasSubstr("more elements"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(1000000000000,)", kSix)}}), HasSubstr("more elements"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(-6,)", kSix)}}), HasSubstr("header is broken"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(6", kSix)}}), HasSubstr("header is broken"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "()", std::vector<float>{1})}}), HasSubstr("single number"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(0, 2)", std::vector<float>{})}}), HasSubstr("no samples"));
  EXPECT_THAT(npz_error({{"x.npy", "no array at all"}}), HasSubstr("NUMPY"));
  EXPECT_THAT(npz_error({{"x.npy", npy("<f4", "(6,)", raw(kSix), "False", 9)}}), HasSubstr("format 9"));
  EXPECT_THAT(npz_error({{"x.npy", "\x93NUMPY\x02" + std::string(1, '\0') + raw(0xFFFFFFFFu)}}),
              HasSubstr("header claims"));
  EXPECT_THAT(npz_error({{"x.txt", "hello"}}), HasSubstr("x.txt"));
  EXPECT_THAT(npz_error({}), HasSubstr("no array"));
}

TEST(BrokenNpz, Samples) {
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(3, 2)", kSix)}, {"y.npy", npy_of("<f4", "(6,)", kSix)}}),
              AllOf(HasSubstr("'y'"), HasSubstr("6 samples"), HasSubstr("has 3")));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(3, 2)", kSix)}, {"x.npy", npy_of("<f4", "(3, 2)", kSix)}}),
              HasSubstr("two arrays"));
  EXPECT_THAT(npz_error({{"labels.npy", npy_of<int64_t>("<i8", "(1,)", {1})}}), HasSubstr("beside labels"));
  EXPECT_THAT(npz_error({{"x.npy", npy_of("<f4", "(3, 2)", kSix)},
                         {"labels.npy", npy_of<int64_t>("<i8", "(3,)", {0, -1, 2})}}),
              AllOf(HasSubstr("label -1"), HasSubstr("out of range")));
}

TEST(BrokenNpz, FilesThatDoNotFitTogether) {
  const fs::path folder = test_folder();
  write(folder / "a.npz", zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix)}}));
  const fs::path other = write(folder / "b.npz", zip({{"y.npy", npy_of("<f4", "(3, 2)", kSix)}}));
  EXPECT_THAT(error_of([&] { open_dataset(folder.string(), ""); }),
              AllOf(HasSubstr(other.string()), HasSubstr("y")));
}

// Stored arrays stay on the disk: a file that is replaced is read on, one that is written to is refused.
TEST(BrokenNpz, ChangedWhileInUse) {
  const fs::path path = test_folder() / "set.npz";
  write(path, zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix)}}));
  const auto set = open_npz({path});
  write(path.parent_path() / "other.npz", "something else");
  fs::rename(path.parent_path() / "other.npz", path);
  EXPECT_TRUE(all(*set).inputs[0].equal(at::tensor(kSix).view({3, 2})));

  write(path, zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix)}}));
  const auto broken = open_npz({path});
  write(path, "something else");
  EXPECT_THAT(error_of([&] { all(*broken); }),
              AllOf(HasSubstr(path.string()), HasSubstr("'x'"), HasSubstr("changed")));
}

TEST(FilePart, ReadsWithinItsBounds) {
  const fs::path path = write(test_folder() / "bytes", "0123456789");
  const FilePart part(path, 2, 5);
  std::string read(3, ' ');
  part.read(1, std::as_writable_bytes(std::span(read)));
  EXPECT_EQ(read, "345");
  EXPECT_THAT(error_of([&] { part.read(3, std::as_writable_bytes(std::span(read))); }),
              HasSubstr("beyond the end"));
  const FilePart too_long(path, 8, 5);
  EXPECT_THAT(error_of([&] { too_long.read(0, std::as_writable_bytes(std::span(read))); }),
              HasSubstr("cut off"));
  EXPECT_THAT(error_of([&] { FilePart(path.parent_path() / "none", 0, 1); }), HasSubstr("none"));
}

// Whatever is cut off or changed in an archive gives an Error or the right numbers, never anything else.
TEST(BrokenNpz, AnyTruncationOrChangedByte) {
  const fs::path path = test_folder() / "bad.npz";
  const std::string whole =
      zip({{"x.npy", npy_of("<f4", "(3, 2)", kSix), true}, {"y.npy", npy_of("<f4", "(3, 2)", kSix)}});
  const at::Tensor expected = at::tensor(kSix).view({3, 2});
  for (size_t size = 0; size < whole.size(); ++size) {
    write(path, whole.substr(0, size));
    EXPECT_NE(error_of([&] { open_npz({path}); }), "") << size;
  }
  int errors = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x55);
    write(path, changed);
    const std::string error = error_of([&] {
      for (const at::Tensor& input : all(*open_npz({path})).inputs) EXPECT_TRUE(input.equal(expected)) << at;
    });
    errors += !error.empty();
  }
  EXPECT_GT(errors, 100);
}

TEST(Random, DependsOnSeedAndIndexAlone) {
  const std::vector<FieldInfo> fields = {{"image", at::kFloat, {3, 4, 4}}, {"ids", at::kLong, {5}}};
  auto set = random_dataset(100, fields, 1);
  EXPECT_TRUE(set->random());
  EXPECT_FALSE(set->labelled());
  EXPECT_THAT(set->description(), HasSubstr("random"));
  Batch batch = set->get(std::vector<int64_t>{5, 9});
  EXPECT_EQ(batch.inputs[0].sizes(), (std::vector<int64_t>{2, 3, 4, 4}));
  EXPECT_TRUE(batch.inputs[0][1].equal(set->get(std::vector<int64_t>{9}).inputs[0][0]));
  EXPECT_FALSE(batch.inputs[0][0].equal(batch.inputs[0][1]));
  EXPECT_FALSE(
      batch.inputs[0].equal(random_dataset(100, fields, 2)->get(std::vector<int64_t>{5, 9}).inputs[0]));
  Batch every = all(*set);
  EXPECT_NEAR(every.inputs[0].mean().item<double>(), 0, 0.05);  // 4,800 draws: 3.5 standard errors
  EXPECT_NEAR(every.inputs[0].std().item<double>(), 1, 0.05);
  EXPECT_TRUE(((every.inputs[1] == 0).logical_or(every.inputs[1] == 1)).all().item<bool>());
}

TEST(Random, RefusesWhatItCannotDraw) {
  EXPECT_THAT(error_of([] { open_dataset("random:", "", {{"x", at::kFloat, {1}}}); }),
              HasSubstr("random:100"));
  EXPECT_THAT(error_of([] { open_dataset("random:0", "", {{"x", at::kFloat, {1}}}); }),
              HasSubstr("random:0"));
  EXPECT_THAT(error_of([] { open_dataset("random:5", ""); }), HasSubstr("inputs"));
  EXPECT_THAT(error_of([] { open_dataset("random:5", "", {{"x", at::kFloat, {-1}}}); }), HasSubstr("'x'"));
  EXPECT_EQ(open_dataset("random:5", "", {{"x", at::kFloat, {1}}})->size(), 5);
}

TEST(OpenDataset, SaysWhatItUnderstands) {
  const fs::path folder = test_folder();
  EXPECT_THAT(error_of([&] { open_dataset(folder.string(), "train"); }),
              AllOf(HasSubstr(folder.string()), HasSubstr(".npz")));
  const fs::path file = write(folder / "data.csv", "1,2");
  EXPECT_THAT(error_of([&] { open_dataset(file.string(), "train"); }),
              AllOf(HasSubstr("data.csv"), HasSubstr("IDX")));
}

}  // namespace
}  // namespace mc
