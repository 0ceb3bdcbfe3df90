#include "mc/prune/importance.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

std::vector<float> scores_of(const std::string& name, const ImportanceInput& input) {
  const at::Tensor scores = channel_scores(find_importance(name), input).contiguous();
  return {scores.data_ptr<float>(), scores.data_ptr<float>() + scores.numel()};
}

// Three filters of two elements.
at::Tensor importance_filters() {
  return at::tensor({3.0F, -4.0F, 0.0F, 1.0F, 1.0F, 1.0F}).view({3, 2});
}

TEST(Importance, NormsOfFilters) {
  EXPECT_THAT(scores_of("channels_l1", {importance_filters(), 0, {}, "w"}), ::testing::ElementsAre(7, 1, 2));
  const auto l2 = scores_of("channels_l2", {importance_filters(), 0, {}, "w"});
  EXPECT_THAT(l2, ::testing::Pointwise(::testing::FloatEq(), {5.0F, 1.0F, std::sqrt(2.0F)}));
}

TEST(Importance, CountsChannelsOnAnyAxis) {
  const at::Tensor weight = at::arange(24, at::kFloat).view({2, 3, 4});
  for (int64_t axis = 0; axis < 3; ++axis) {
    const at::Tensor expected = weight.movedim(axis, 0).flatten(1).abs().sum(1);
    const at::Tensor got = channel_scores(find_importance("channels_l1"), {weight, axis, {}, "w"});
    EXPECT_TRUE(at::equal(got, expected)) << axis;
  }
  EXPECT_THAT(scores_of("channels_l1", {at::tensor({-2.0F, 1.0F}), 0, {}, "bias"}),
              ::testing::ElementsAre(2, 1));
}

// Distances: |f0 - f1| = sqrt(9 + 25), |f0 - f2| = sqrt(4 + 25), |f1 - f2| = 1.
TEST(Importance, FpgmSumsDistancesToTheOthers) {
  const float a = std::sqrt(34.0F), b = std::sqrt(29.0F);
  EXPECT_THAT(scores_of("channels_fpgm", {importance_filters(), 0, {}, "w"}),
              ::testing::Pointwise(::testing::FloatEq(), {a + b, a + 1, b + 1}));
}

TEST(Importance, TaylorAndHessianAreOfTheGradient) {
  const at::Tensor gradient = at::tensor({1.0F, 1.0F, 5.0F, 2.0F, -1.0F, 1.0F}).view({3, 2});
  // Sums of gradient times weight: -1, 2, 0.
  EXPECT_THAT(scores_of("channels_taylor", {importance_filters(), 0, gradient, "w"}),
              ::testing::ElementsAre(1, 4, 0));
  // Squares: 9 + 16, 0 + 4, 1 + 1.
  EXPECT_THAT(scores_of("channels_hessian", {importance_filters(), 0, gradient, "w"}),
              ::testing::ElementsAre(12.5F, 2, 1));
}

// For a quadratic loss sum c w^2 / 2 with gradient c w, removing a channel changes the loss by sum c w^2 / 2.
TEST(Importance, TaylorPredictsTheChangeOfALinearLoss) {
  const at::Tensor weight = at::randn({4, 3}, at::TensorOptions(at::kFloat)).set_requires_grad(true);
  const at::Tensor slope = at::randn({4, 3});
  (weight * slope).sum().backward();
  const at::Tensor got = channel_scores(find_importance("channels_taylor"), {weight, 0, weight.grad(), "w"});
  const at::Tensor change = (weight.detach() * slope).sum(1);
  EXPECT_TRUE(at::allclose(got, change.square()));
}

// Squared norms 25, 1, 2: 25/25, 1/28, 2/27.
TEST(Importance, LampDividesByTheLargerOnes) {
  EXPECT_THAT(scores_of("channels_lamp", {importance_filters(), 0, {}, "w"}),
              ::testing::Pointwise(::testing::FloatEq(), {1.0F, 1.0F / 28, 2.0F / 27}));
  EXPECT_THAT(scores_of("channels_lamp", {at::zeros({3, 2}), 0, {}, "w"}), ::testing::Each(0.0F));
}

TEST(Importance, RandomDependsOnSeedAndName) {
  const auto first = scores_of("channels_random", {importance_filters(), 0, {}, "w", 1});
  EXPECT_EQ(first, scores_of("channels_random", {importance_filters(), 0, {}, "w", 1}));
  EXPECT_NE(first, scores_of("channels_random", {importance_filters(), 0, {}, "w", 2}));
  EXPECT_NE(first, scores_of("channels_random", {importance_filters(), 0, {}, "v", 1}));
  EXPECT_THAT(first, ::testing::Each(::testing::AllOf(::testing::Ge(0.0F), ::testing::Lt(1.0F))));
}

template <class Run>
std::string importance_message(Run run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Importance, BadInput) {
  EXPECT_THAT(importance_message([] { find_importance("channels_l3"); }),
              HasSubstr("did you mean 'channels_l"));
  EXPECT_THAT(importance_message([] { scores_of("channels_l1", {importance_filters(), 2, {}, "w"}); }),
              HasSubstr("'w' has 2 dims; no channels on axis 2"));
  EXPECT_THAT(importance_message([] { scores_of("channels_taylor", {importance_filters(), 0, {}, "w"}); }),
              HasSubstr("needs the gradient of 'w'"));
  EXPECT_THAT(importance_message(
                  [] { scores_of("channels_taylor", {importance_filters(), 0, at::zeros({2, 2}), "w"}); }),
              HasSubstr("another shape"));
  at::Tensor broken = importance_filters();
  broken[1][0] = NAN;
  EXPECT_THAT(importance_message([&] { scores_of("channels_l2", {broken, 0, {}, "w"}); }),
              HasSubstr("channel 1 of 'w' has a score that is no finite number"));
}

}  // namespace
}  // namespace mc
