#include "mc/train/schedule.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "tests/train/training.h"

namespace mc::testing {
namespace {

// torch.optim.lr_scheduler.OneCycleLR(max_lr=0.5, total_steps=12, pct_start=0.25, div_factor=25,
// final_div_factor=40), as PyTorch 2.13 computes it.
TEST(Schedule, OneCycleGivesTorchsRates) {
  const double expected[] = {0.02,
                             0.26,
                             0.5,
                             0.4849382320412806,
                             0.44156959966896475,
                             0.375125,
                             0.2936186323723159,
                             0.20688136762768417,
                             0.12537500000000004,
                             0.05893040033103527,
                             0.015561767958719398,
                             0.0005};
  for (int64_t step = 0; step < 12; ++step) {
    EXPECT_NEAR(learning_rate(OneCycleOptions{}, 0.5, step, 12), expected[step], 1e-12) << step;
  }
}

TEST(Schedule, OneCycleHoldsAtItsEdges) {
  EXPECT_DOUBLE_EQ(learning_rate(OneCycleOptions{}, 0.4, 0, 1), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(OneCycleOptions{.warmup = 0}, 0.4, 0, 10), 0.4);
  EXPECT_NEAR(learning_rate(OneCycleOptions{.warmup = 0}, 0.4, 9, 10), 0.4e-3, 1e-15);
  EXPECT_DOUBLE_EQ(learning_rate(OneCycleOptions{.warmup = 1}, 0.4, 9, 10), 0.4);
  EXPECT_NEAR(learning_rate(OneCycleOptions{.warmup = 1}, 0.4, 0, 10), 0.016, 1e-15);
}

TEST(Schedule, CosineFallsAlongHalfACosineBehindItsWarmUp) {
  CosineOptions options{.warmup_steps = 4, .final = 0.1};
  for (int64_t step = 0; step < 4; ++step) {
    EXPECT_NEAR(learning_rate(options, 2, step, 15), 2 * static_cast<double>(step + 1) / 4, 1e-12);
  }
  for (int64_t step = 4; step < 15; ++step) {
    double part = static_cast<double>(step - 4) / 10;
    EXPECT_NEAR(learning_rate(options, 2, step, 15),
                2 * (0.1 + 0.45 * (1 + std::cos(std::numbers::pi * part))), 1e-12);
  }
  EXPECT_NEAR(learning_rate(options, 2, 14, 15), 0.2, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(CosineOptions{}, 2, 0, 1), 2);
}

TEST(Schedule, StepMultipliesByGammaAtItsMilestones) {
  StepDecayOptions options{.milestones = {0.5, 0.75}, .gamma = 0.1, .warmup_steps = 2};
  const double expected[] = {0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01};
  for (int64_t step = 0; step < 8; ++step) {
    EXPECT_NEAR(learning_rate(options, 1, step, 8), expected[step], 1e-12) << step;
  }
}

TEST(Schedule, ConstantStaysBehindItsWarmUp) {
  ConstantOptions options{.warmup_steps = 5};
  EXPECT_NEAR(learning_rate(options, 3, 0, 9), 0.6, 1e-12);
  EXPECT_NEAR(learning_rate(options, 3, 4, 9), 3, 1e-12);
  EXPECT_NEAR(learning_rate(options, 3, 8, 9), 3, 1e-12);
}

// The values of get_linear_rewinding_schedule_with_warmup(4, 20, 6, 14, 4), worked out by hand.
TEST(Schedule, LinearRewindingReturnsWhileWeightsArePruned) {
  const LinearRewindingOptions options{
      .warmup_steps = 4, .prune_start = 0.3, .prune_end = 0.7, .rewind_interval = 4};
  const double expected[] = {0,    0.25,  0.5, 0.75,  1,    0.875, 0.75, 0.625, 0.5,  0.375,
                             0.75, 0.625, 0.5, 0.375, 0.75, 0.625, 0.5,  0.375, 0.25, 0.125};
  for (int64_t step = 0; step < 20; ++step) {
    EXPECT_NEAR(learning_rate(options, 2, step, 20), 2 * expected[step], 1e-12) << step;
  }
  // Without pruning it is a line.
  EXPECT_DOUBLE_EQ(linear_rewinding(5, 0, 20, 0, 0, 1), 0.75);
  EXPECT_THROW((LinearRewindingOptions{.prune_start = 0.5, .prune_end = 0.4}.check()), Error);
}

TEST(Schedule, RefusesStepsOutsideTheStage) {
  EXPECT_EQ(error_of([] { learning_rate(ConstantOptions{}, 1, 9, 9); }), "no learning rate for step 9 of 9");
  EXPECT_EQ(error_of([] { learning_rate(ConstantOptions{}, 1, 0, 0); }), "no learning rate for step 0 of 0");
}

}  // namespace
}  // namespace mc::testing
