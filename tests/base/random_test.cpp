#include "mc/base/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers published with Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Digits of pi.
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, SameKeysGiveSameNumbers) {
  Random first(7, 2, 11, "flip"), second(7, 2, 11, "flip");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(first(), second());
}

TEST(Random, EveryKeyChangesTheNumbers) {
  std::set<uint64_t> seen;
  auto first_of = [](Random random) {
    uint64_t upper = random();
    return upper << 32 | random();
  };
  for (uint64_t seed : {0, 1}) {
    for (uint64_t epoch : {0, 1, 2}) {
      for (uint64_t sample = 0; sample < 100; ++sample) {
        for (const char* use : {"", "crop", "flip"}) seen.insert(first_of(Random(seed, epoch, sample, use)));
      }
    }
  }
  EXPECT_EQ(seen.size(), 2u * 3 * 100 * 3);
}

TEST(Random, UniformHasTheMomentsOfTheUniformDistribution) {
  Random random(1);
  double sum = 0, squares = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    double value = random.uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
    squares += value * value;
  }
  // Four standard errors: the standard deviations of x and x^2 are 0.289 and 0.298.
  EXPECT_NEAR(sum / n, 1.0 / 2, 4 * 0.289 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 4 * 0.298 / std::sqrt(n));
}

TEST(Random, NormalHasTheMomentsOfTheNormalDistribution) {
  Random random(2);
  double sum = 0, squares = 0, fourth = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    double value = random.normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    fourth += std::pow(value, 4);
  }
  EXPECT_NEAR(sum / n, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 4 * std::sqrt(2.0 / n));
  EXPECT_NEAR(fourth / n, 3, 4 * std::sqrt(96.0 / n));
}

TEST(Random, BelowIsUniform) {
  Random random(3);
  std::vector<int> counts(6);
  const int n = 60000;
  for (int i = 0; i < n; ++i) ++counts[static_cast<size_t>(random.below(6))];
  double chi_squared = 0;
  for (int count : counts) chi_squared += std::pow(count - n / 6.0, 2) / (n / 6.0);
  EXPECT_LT(chi_squared, 20.5);  // 99.9 % quantile at 5 degrees of freedom
}

TEST(Random, BelowReachesHugeBoundsAndRefusesNone) {
  Random random(4);
  int64_t bound = std::numeric_limits<int64_t>::max(), largest = 0;
  for (int i = 0; i < 100; ++i) {
    int64_t value = random.below(bound);
    ASSERT_GE(value, 0);
    largest = std::max(largest, value);
  }
  EXPECT_GT(largest, bound / 2);
  EXPECT_EQ(random.below(1), 0);
  EXPECT_THROW(random.below(0), Error);
  EXPECT_THROW(random.below(-5), Error);
}

TEST(Random, ChanceKeepsItsProbability) {
  Random random(5);
  int hits = 0;
  const int n = 50000;
  for (int i = 0; i < n; ++i) hits += random.chance(0.3);
  EXPECT_NEAR(hits / double{n}, 0.3, 4 * std::sqrt(0.21 / n));
  EXPECT_FALSE(random.chance(0));
  EXPECT_TRUE(random.chance(1));
}

TEST(Shuffle, KeepsTheValuesAndSpreadsThem) {
  std::vector<int64_t> values(10);
  std::vector<int> first_counts(10);
  for (int trial = 0; trial < 5000; ++trial) {
    std::iota(values.begin(), values.end(), 0);
    Random random(6, 0, static_cast<uint64_t>(trial));
    shuffle(values, random);
    ++first_counts[static_cast<size_t>(values[0])];
  }
  EXPECT_THAT(values, testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  for (int count : first_counts) EXPECT_NEAR(count, 500, 5 * std::sqrt(500 * 0.9));
}

}  // namespace
}  // namespace mc
