#include "mc/prune/select_loops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace mc {
namespace {

constexpr int64_t kSizes[] = {1, 15, 16, 63, 64, 65, 127, 1000, 4096};

struct SplitResult {
  loops::SplitCounts counts;
  std::vector<uint64_t> words;
  std::vector<int32_t> keys, places;
};

SplitResult split_with(decltype(loops::split_plain) split, const std::vector<float>& scores, bool absolute,
                       int32_t low, int32_t high) {
  const auto count = static_cast<int64_t>(scores.size());
  const size_t room = scores.size() + loops::kNearSlack;
  SplitResult result{{}, std::vector<uint64_t>((scores.size() + 63) / 64), {}, {}};
  result.keys.resize(room);
  result.places.resize(room);
  result.counts = split(scores.data(), count, absolute, low, high, result.words.data(),
                        {result.keys.data(), result.places.data()});
  result.keys.resize(static_cast<size_t>(result.counts.near));
  result.places.resize(result.keys.size());
  return result;
}

std::vector<float> random_scores(int64_t size) {
  const at::Tensor values = at::randn({size});
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + size};
}

// One score at a time.
void expect_split(const SplitResult& result, const std::vector<float>& scores, bool absolute, int32_t low,
                  int32_t high) {
  std::vector<int32_t> keys, places;
  int64_t above = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const int32_t key = loops::score_key(scores[i], absolute);
    EXPECT_EQ(result.words[i / 64] >> (i % 64) & 1, key > low ? 1U : 0U) << i;
    above += key > low ? 1 : 0;
    if (key <= low || key > high) continue;
    keys.push_back(key);
    places.push_back(static_cast<int32_t>(i));
  }
  if (scores.size() % 64) {
    EXPECT_EQ(result.words.back() >> (scores.size() % 64), 0U) << "bits beyond the scores";
  }
  EXPECT_EQ(result.counts.above, above);
  EXPECT_EQ(result.keys, keys);
  EXPECT_EQ(result.places, places);
  EXPECT_TRUE(result.counts.finite);
}

TEST(SelectLoops, EachVersionSplitsLikeOneScoreAtATime) {
  at::manual_seed(1);
  for (const int64_t size : kSizes) {
    std::vector<float> scores = random_scores(size);
    scores[0] = -0.0F;
    for (const bool absolute : {true, false}) {
      const int32_t low = loops::score_key(0.3F, absolute), high = loops::score_key(0.9F, absolute);
      const int32_t none = std::numeric_limits<int32_t>::min(), all = std::numeric_limits<int32_t>::max();
      for (const auto& [from, to] : {std::pair(low, high), std::pair(none, all), std::pair(low, low)}) {
        expect_split(split_with(loops::split_plain, scores, absolute, from, to), scores, absolute, from, to);
        expect_split(split_with(loops::split_by_key, scores, absolute, from, to), scores, absolute, from, to);
      }
    }
  }
}

TEST(SelectLoops, EachVersionSeesWhatIsNotFinite) {
  for (const int64_t size : kSizes) {
    for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
      std::vector<float> scores = random_scores(size);
      scores.back() = bad;
      for (const bool absolute : {true, false}) {
        EXPECT_FALSE(split_with(loops::split_plain, scores, absolute, 0, 1).counts.finite);
        EXPECT_FALSE(split_with(loops::split_by_key, scores, absolute, 0, 1).counts.finite);
      }
    }
  }
}

TEST(SelectLoops, EachVersionWritesTheMaskAndHoldsOnlyItsValues) {
  at::manual_seed(2);
  for (const int64_t size : kSizes) {
    const std::vector<float> scores = random_scores(size);
    const SplitResult split = split_with(loops::split_plain, scores, true, loops::score_key(0.7F, true), 0);
    for (const auto& write : {loops::write_plain, loops::write_kept}) {
      std::vector<uint8_t> keep(scores.size() + 64, 7);
      std::vector<float> values = scores;
      values.resize(scores.size() + 64, 5.0F);
      write(split.words.data(), size, keep.data(), values.data());
      for (size_t i = 0; i < scores.size(); ++i) {
        EXPECT_EQ(keep[i], std::abs(scores[i]) > 0.7F ? 1 : 0) << i;
        EXPECT_EQ(values[i], std::abs(scores[i]) > 0.7F ? scores[i] : 0.0F) << i;
      }
      EXPECT_EQ(std::count(keep.begin() + size, keep.end(), 7), 64) << "written beyond the mask";
      EXPECT_EQ(std::count(values.begin() + size, values.end(), 5.0F), 64) << "written beyond the values";
    }
  }
}

}  // namespace
}  // namespace mc
