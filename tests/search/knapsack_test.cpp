#include "mc/search/knapsack.h"

#include <limits>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using Groups = std::vector<std::vector<KnapsackItem>>;

// Whole numbers, so that a step of one misses nothing.
Groups random_groups(uint64_t seed, int64_t count) {
  at::manual_seed(seed);
  Groups groups;
  for (int64_t g = 0; g < count; ++g) {
    groups.emplace_back();
    const auto items = at::randint(1, 5, {1}).item<int64_t>();
    for (int64_t i = 0; i < items; ++i) {
      groups.back().push_back({at::randint(0, 20, {1}).item<double>(), at::rand({1}).item<double>()});
    }
  }
  return groups;
}

// Least loss within the budget, by trying everything; infinity where nothing fits.
double least_loss(const Groups& groups, size_t group, double budget) {
  if (budget < 0) return std::numeric_limits<double>::infinity();
  if (group == groups.size()) return 0;
  double least = std::numeric_limits<double>::infinity();
  for (const KnapsackItem& item : groups[group]) {
    least = std::min(least, item.loss + least_loss(groups, group + 1, budget - item.cost));
  }
  return least;
}

TEST(Knapsack, FindsWhatTryingEverythingFinds) {
  int solved = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Groups groups = random_groups(seed, 6);
    double cheapest = 0;
    for (const auto& group : groups) cheapest += std::ranges::min(group, {}, &KnapsackItem::cost).cost;
    for (const double budget : {cheapest - 1, cheapest, cheapest + 13, cheapest + 200}) {
      const auto steps = std::max<int64_t>(1, std::llround(budget - cheapest));
      const auto chosen = choose_within(groups, budget, steps);
      ASSERT_EQ(chosen.has_value(), budget >= cheapest);
      if (!chosen) continue;
      double cost = 0, loss = 0;
      for (size_t g = 0; g < groups.size(); ++g) {
        cost += groups[g][(*chosen)[g]].cost;
        loss += groups[g][(*chosen)[g]].loss;
      }
      EXPECT_LE(cost, budget);
      EXPECT_NEAR(loss, least_loss(groups, 0, budget), 1e-12);
      ++solved;
    }
  }
  EXPECT_EQ(solved, 120);
}

TEST(Knapsack, HoldsTheBudgetWithCoarseSteps) {
  const Groups groups = {{{0.4, 1}, {1, 0}}, {{0.4, 1}, {1, 0}}, {{0.4, 1}, {1, 0}}};
  const auto chosen = choose_within(groups, 2.4, 2);  // of 1.2 to spend, two of 0.6 would just fit
  ASSERT_TRUE(chosen);
  double cost = 0;
  for (size_t g = 0; g < 3; ++g) cost += groups[g][(*chosen)[g]].cost;
  EXPECT_LE(cost, 2.4);
}

TEST(Knapsack, RefusesWhatItCannotCompare) {
  EXPECT_THROW(choose_within({{}}, 1), Error);
  EXPECT_THROW(choose_within({{{1, std::numeric_limits<double>::quiet_NaN()}}}, 1), Error);
  EXPECT_THROW(choose_within({{{std::numeric_limits<double>::infinity(), 1}}}, 1), Error);
}

}  // namespace
}  // namespace mc
