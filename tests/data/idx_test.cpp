#include <filesystem>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "tests/base/error_of.h"
#include "tests/data/archive.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kFashion = "/usr/share/datasets/fashion-mnist";

TEST(Idx, ReadsImagesAsFloatsAndLabels) {
  const fs::path folder = test_folder();
  write_idx_set(folder, 4, "train");
  auto set = open_dataset(folder.string(), "train");
  EXPECT_EQ(set->size(), 4);
  EXPECT_EQ(set->classes(), 10);
  EXPECT_TRUE(set->labelled());
  EXPECT_FALSE(set->random());
  ASSERT_EQ(set->fields().size(), 1u);
  EXPECT_EQ(set->fields()[0].name, "image");
  EXPECT_EQ(set->fields()[0].shape, (std::vector<int64_t>{1, 2, 3}));
  const int64_t indices[] = {3, 1};
  Batch batch = set->get(indices);
  at::Tensor expected = at::tensor({30, 31, 32, 33, 34, 35, 10, 11, 12, 13, 14, 15}).to(at::kFloat) / 255;
  EXPECT_TRUE(batch.inputs[0].equal(expected.view({2, 1, 2, 3})));
  EXPECT_TRUE(batch.labels.equal(at::tensor({3, 1}, at::kLong)));
  EXPECT_EQ(batch.indices, (std::vector<int64_t>{3, 1}));
  EXPECT_THAT(error_of([&] { set->get(std::vector<int64_t>{4}); }), HasSubstr("sample 4"));
  EXPECT_THAT(error_of([&] { set->get(std::vector<int64_t>{-1}); }), HasSubstr("sample -1"));
}

TEST(Idx, ReadsGzippedFilesOfSeveralMembers) {
  const fs::path folder = test_folder();
  const std::string images = idx({2, 2, 3}, "abcdefghijkl"), labels = idx({2}, std::string("\x00\x09", 2));
  write(folder / "t10k-images-idx3-ubyte.gz", gzip(images.substr(0, 19)) + gzip(images.substr(19)));
  write(folder / "t10k-labels-idx1-ubyte.gz", gzip(labels));
  auto set = open_idx(folder, "test");
  EXPECT_EQ(all(*set).inputs[0].flatten()[11].item<float>(), 'l' / 255.0f);
  EXPECT_TRUE(all(*set).labels.equal(at::tensor({0, 9}, at::kLong)));
}

TEST(Idx, TakesTheFirstSamples) {
  const fs::path folder = test_folder();
  write_idx_set(folder, 4, "train");
  auto set = open_idx(folder, "train");
  auto two = take(set, 2);
  EXPECT_EQ(two->size(), 2);
  EXPECT_EQ(all(*two).size(), 2);
  EXPECT_EQ(two->raw_images()->images.size(0), 2);
  EXPECT_THAT(error_of([&] { two->get(std::vector<int64_t>{2}); }), HasSubstr("sample 2"));
  EXPECT_EQ(take(set, -1)->size(), 4);
  EXPECT_EQ(take(set, 100)->size(), 4);
  EXPECT_EQ(take(set, 0)->size(), 0);
}

TEST(Idx, ReadsFashionMnist) {
  if (!fs::exists(kFashion)) GTEST_SKIP() << "install dataset-fashion-mnist";
  auto train = open_dataset(kFashion.string(), "train"), test = open_dataset(kFashion.string(), "test");
  EXPECT_EQ(train->size(), 60'000);
  EXPECT_EQ(test->size(), 10'000);
  // Both sets hold as many samples of every class (Xiao et al. 2017, section 2).
  EXPECT_TRUE(train->raw_images()->labels.bincount().equal(at::full({10}, 6000, at::kLong)));
  EXPECT_TRUE(test->raw_images()->labels.bincount().equal(at::full({10}, 1000, at::kLong)));
  // The mean and deviation that the field normalizes this set by.
  Normalization normalization = measure_normalization(*train, -1);
  EXPECT_NEAR(normalization.mean.at(0), 0.2860, 5e-5);
  EXPECT_NEAR(normalization.std.at(0), 0.3530, 5e-5);
}

class BrokenIdx : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = test_folder();
    write_idx_set(folder_, 4, "train");
  }
  std::string error() {
    return error_of([&] { open_idx(folder_, "train"); });
  }
  fs::path folder_;
  fs::path images() const { return folder_ / "train-images-idx3-ubyte"; }
  fs::path labels() const { return folder_ / "train-labels-idx1-ubyte"; }
};

TEST_F(BrokenIdx, MissingFiles) {
  fs::remove(labels());
  EXPECT_THAT(error(), AllOf(HasSubstr(folder_.string()), HasSubstr("train-labels-idx1-ubyte.gz")));
  EXPECT_THAT(error_of([&] { open_idx(folder_, "test"); }), HasSubstr("t10k-images-idx3-ubyte"));
  EXPECT_THAT(error_of([&] { open_idx(folder_, "tset"); }), HasSubstr("did you mean 'test'"));
  EXPECT_THAT(error_of([&] { open_dataset((folder_ / "none").string(), "train"); }),
              HasSubstr("no such file"));
}

TEST_F(BrokenIdx, WrongMagic) {
  write(images(), idx({4}, "abcd"));
  EXPECT_THAT(error(), AllOf(HasSubstr(images().string()), HasSubstr("0x00000801"), HasSubstr("0x00000803")));
}

TEST_F(BrokenIdx, Truncated) {
  write(images(), idx({4, 2, 3}, "too short"));
  EXPECT_THAT(error(), AllOf(HasSubstr(images().string()), HasSubstr("cut off")));
  write(images(), "\x00");
  EXPECT_THAT(error(), AllOf(HasSubstr(images().string()), HasSubstr("cut off")));
  write(images(), "");
  EXPECT_THAT(error(), HasSubstr("cut off"));
}

TEST_F(BrokenIdx, TruncatedOrDamagedGzip) {
  fs::remove(images());
  std::string content = gzip(idx({4, 2, 3}, "abcdefghijklmnopqrstuvwx"));
  const fs::path path = write(images().string() + ".gz", content.substr(0, content.size() - 12));
  EXPECT_THAT(error(), AllOf(HasSubstr(path.string()), HasSubstr("cut off")));
  std::string damaged = content;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] + 1);  // in the checksum
  write(path, damaged);
  EXPECT_THAT(error(), AllOf(HasSubstr(path.string()), HasSubstr("broken")));
}

TEST_F(BrokenIdx, ClaimsMoreThanTheFileCanHold) {
  write(images(), idx({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "abc"));
  EXPECT_THAT(error(), AllOf(HasSubstr(images().string()), HasSubstr("cut off")));
  write(images(), idx({0xFFFFFFFF, 28, 28}, "abc"));
  EXPECT_THAT(error(), HasSubstr("cut off"));
}

TEST_F(BrokenIdx, HasBytesLeft) {
  write(images(), idx({4, 2, 3}, std::string(25, 'a')));
  EXPECT_THAT(error(), HasSubstr("more bytes than its header says"));
}

TEST_F(BrokenIdx, LabelOutOfRange) {
  write(labels(), idx({4}, std::string("\x01\x02\x0a\x00", 4)));
  EXPECT_THAT(error(),
              AllOf(HasSubstr(labels().string()), HasSubstr("label 10 of sample 2"), HasSubstr("0 to 9")));
}

TEST_F(BrokenIdx, CountsDiffer) {
  write(labels(), idx({3}, std::string(3, '\0')));
  EXPECT_THAT(error(), AllOf(HasSubstr("4 images"), HasSubstr("3 labels")));
}

TEST_F(BrokenIdx, Empty) {
  write(images(), idx({0, 28, 28}, ""));
  EXPECT_THAT(error(), HasSubstr("empty"));
}

}  // namespace
}  // namespace mc
