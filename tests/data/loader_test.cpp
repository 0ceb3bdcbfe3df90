#include "mc/data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/base/error_of.h"
#include "tests/data/archive.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Sample i is the number i. Counts what was read; fails at one sample if told so.
class Counting : public Dataset {
 public:
  explicit Counting(int64_t size, int64_t bad = -1) : size_(size), bad_(bad) {}
  int64_t size() const override { return size_; }
  std::vector<FieldInfo> fields() const override { return {{"x", at::kFloat, {1}}}; }
  bool labelled() const override { return true; }
  int64_t classes() const override { return 0; }
  std::string description() const override { return "counting"; }
  Batch get(std::span<const int64_t> indices) const override {
    ++reads;
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    MC_CHECK(std::ranges::find(indices, bad_) == indices.end(), "sample {} is bad", bad_);
    at::Tensor values = at::tensor(batch.indices, at::kFloat);
    batch.inputs = {values.unsqueeze(1)};
    batch.labels = values;
    return batch;
  }
  mutable std::atomic<int> reads = 0;

 private:
  int64_t size_, bad_;
};

std::vector<std::vector<int64_t>> epoch_of(Loader& loader, uint64_t epoch, int64_t first = 0) {
  std::vector<std::vector<int64_t>> batches;
  loader.start(epoch, first);
  while (auto batch = loader.next()) {
    at::Tensor expected = at::tensor(batch->indices, at::kFloat);
    EXPECT_TRUE(batch->labels.equal(expected));
    EXPECT_TRUE(batch->inputs[0].equal(expected.unsqueeze(1)));
    batches.push_back(batch->indices);
  }
  return batches;
}

TEST(Loader, GivesEverySampleOnceInOrder) {
  Loader loader(std::make_shared<Counting>(10), {.batch_size = 4});
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_EQ(loader.samples(), 10);
  EXPECT_EQ(epoch_of(loader, 0), (std::vector<std::vector<int64_t>>{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}));
  EXPECT_FALSE(loader.next().has_value());
  EXPECT_FALSE(loader.next().has_value());
}

TEST(Loader, DropsThePartialBatch) {
  Loader loader(std::make_shared<Counting>(10), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(loader.batches(), 2);
  EXPECT_EQ(loader.samples(), 8);
  EXPECT_EQ(epoch_of(loader, 0).size(), 2u);
}

TEST(Loader, ShufflesBySeedAndEpochAlone) {
  auto set = std::make_shared<Counting>(1000);
  Loader loader(set, {.batch_size = 64, .shuffle = true, .seed = 1});
  auto first = epoch_of(loader, 0), second = epoch_of(loader, 1);
  std::vector<int64_t> joined;
  for (const auto& batch : first) joined.insert(joined.end(), batch.begin(), batch.end());
  std::ranges::sort(joined);
  std::vector<int64_t> every(1000);
  std::iota(every.begin(), every.end(), 0);
  EXPECT_EQ(joined, every);
  EXPECT_NE(first, second);
  Loader again(set, {.batch_size = 64, .shuffle = true, .seed = 1, .ahead = 1});
  EXPECT_EQ(epoch_of(again, 1), second);
  EXPECT_EQ(epoch_of(again, 0), first);
  Loader other(set, {.batch_size = 64, .shuffle = true, .seed = 2});
  EXPECT_NE(epoch_of(other, 0), first);
}

TEST(Loader, ResumesWithTheRestOfTheEpoch) {
  Loader loader(std::make_shared<Counting>(100), {.batch_size = 8, .shuffle = true});
  auto whole = epoch_of(loader, 4);
  for (int64_t first : {1, 7, 12, 13}) {
    auto rest = epoch_of(loader, 4, first);
    EXPECT_EQ(rest, decltype(whole)(whole.begin() + first, whole.end())) << first;
  }
  EXPECT_THAT(error_of([&] { loader.start(4, 14); }), HasSubstr("batch 14"));
  EXPECT_THAT(error_of([&] { loader.start(4, -1); }), HasSubstr("batch -1"));
}

TEST(Loader, ResumesAugmentationToo) {
  const auto folder = test_folder();
  write_idx_set(folder, 24, "train");
  auto set = open_idx(folder, "train");
  LoaderOptions options{
      .batch_size = 5, .shuffle = true, .augment = {FlipOptions{}, CropOptions{1}}, .seed = 9};
  options.normalization = {.mean = {0.5}, .std = {0.25}};
  Loader whole(set, options), rest(set, options);
  whole.start(3);
  rest.start(3, 2);
  whole.next();
  whole.next();
  int batches = 0;
  for (; auto expected = whole.next(); ++batches) {
    auto batch = rest.next();
    ASSERT_TRUE(batch.has_value());
    EXPECT_TRUE(batch->inputs[0].equal(expected->inputs[0]));
    EXPECT_TRUE(batch->labels.equal(expected->labels));
    Batch direct = read_batch(*set, batch->indices, options.augment, options.normalization, 9, 3);
    EXPECT_TRUE(batch->inputs[0].equal(direct.inputs[0]));
  }
  EXPECT_EQ(batches, 3);
  EXPECT_FALSE(rest.next().has_value());
}

TEST(Loader, ReadsAheadButNotFurther) {
  auto set = std::make_shared<Counting>(100);
  Loader loader(set, {.batch_size = 1, .ahead = 3});
  loader.start(0);
  auto reads_settle_at = [&](int expected) {
    for (int i = 0; i < 2000 && set->reads < expected; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return set->reads.load();
  };
  EXPECT_EQ(reads_settle_at(3), 3);
  loader.next();
  EXPECT_EQ(reads_settle_at(4), 4);
}

TEST(Loader, ThrowsTheReadersErrorAtItsBatch) {
  Loader loader(std::make_shared<Counting>(20, 9), {.batch_size = 4});
  loader.start(0);
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_THAT(error_of([&] { loader.next(); }),
              AllOf(HasSubstr("batch 3"), HasSubstr("counting"), HasSubstr("sample 9 is bad")));
  EXPECT_NE(error_of([&] { loader.next(); }), "");  // still
  loader.start(0, 3);                               // and it can go on behind it
  EXPECT_EQ(loader.next()->indices, (std::vector<int64_t>{12, 13, 14, 15}));
}

TEST(Loader, CanBeLeftAtAnyPoint) {
  auto set = std::make_shared<Counting>(1000);
  for (int taken = 0; taken < 20; ++taken) {
    Loader loader(set, {.batch_size = 1, .ahead = 2});
    loader.start(0);
    for (int i = 0; i < taken; ++i) EXPECT_EQ(loader.next()->indices[0], i);
    loader.start(1);  // in the middle of an epoch
    EXPECT_EQ(loader.next()->indices[0], 0);
  }
  Loader never_started(set, {});
  EXPECT_THAT(error_of([&] { never_started.next(); }), HasSubstr("start()"));
}

TEST(Loader, RefusesImpossibleOptions) {
  auto set = std::make_shared<Counting>(3);
  EXPECT_THAT(error_of([&] { Loader(set, {.batch_size = 0}); }), HasSubstr("batch size of 0"));
  EXPECT_THAT(error_of([&] { Loader(set, {.ahead = 0}); }), HasSubstr("ahead"));
  EXPECT_THAT(error_of([&] { Loader(nullptr, {}); }), HasSubstr("dataset"));
}

TEST(Loader, AnEmptySetHasNoBatches) {
  Loader loader(std::make_shared<Counting>(0), {.shuffle = true});
  EXPECT_EQ(loader.batches(), 0);
  EXPECT_TRUE(epoch_of(loader, 0).empty());
}

}  // namespace
}  // namespace mc
