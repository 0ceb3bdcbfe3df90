#include "mc/train/loss.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "mc/train/gradient_clip.h"
#include "mc/train/loss_meter.h"
#include "tests/train/training.h"

namespace mc::testing {
namespace {

using ::testing::HasSubstr;

LossFunction loss(const std::string& name, double smoothing = 0) {
  return find_loss(name).make({.label_smoothing = smoothing});
}

// Szegedy et al. 2016: targets are 1 - s for the label plus s / C for every class.
TEST(Loss, CrossEntropySmoothsLabels) {
  at::Tensor logits = random_tensor({5, 4}, 1).to(at::kDouble),
             labels = at::tensor({0, 3, 2, 1, 3}, at::kLong);
  for (double smoothing : {0.0, 0.1}) {
    at::Tensor target = at::one_hot(labels, 4).to(at::kDouble) * (1 - smoothing) + smoothing / 4;
    double expected = -(target * (logits - logits.logsumexp(1, true))).sum().item<double>() / 5;
    EXPECT_NEAR(loss("cross_entropy", smoothing)(logits, labels).item<double>(), expected, 1e-9);
  }
}

TEST(Loss, MseIsTheMeanOfSquares) {
  at::Tensor output = at::tensor({1.0, 2.0, 4.0}), labels = at::tensor({0.0, 2.0, 1.0});
  EXPECT_NEAR(loss("mse")(output, labels).item<double>(), (1 + 0 + 9) / 3.0, 1e-6);
  EXPECT_NEAR(loss("mse")(output.unsqueeze(1), labels).item<double>(), (1 + 0 + 9) / 3.0, 1e-6);
}

TEST(Loss, NoneIsZero) {
  EXPECT_EQ(loss("none")(at::ones({2, 2}), {}).item<double>(), 0);
}

TEST(Loss, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { find_loss("cross_entropi"); }), HasSubstr("did you mean 'cross_entropy'?"));
  EXPECT_THAT(error_of([] { loss("cross_entropy")(at::ones({2, 3}), at::ones({2})); }),
              HasSubstr("use loss: mse"));
  EXPECT_THAT(error_of([] { loss("cross_entropy")(at::ones({2, 3}), at::zeros({4}, at::kLong)); }),
              HasSubstr("got [2,3] and [4]"));
  EXPECT_THAT(error_of([] { loss("mse")(at::ones({2, 3}), at::ones({2})); }), HasSubstr("got [2]"));
}

TEST(GradientClip, ScalesTheTotalNormToTheLimit) {
  std::vector<at::Tensor> parameters = {at::zeros({2}).requires_grad_(), at::zeros({1}).requires_grad_(),
                                        at::zeros({1}).requires_grad_()};
  parameters[0].mutable_grad() = at::tensor({2.0, 4.0}).to(at::kFloat);
  parameters[1].mutable_grad() = at::tensor({4.0}).to(at::kFloat);
  EXPECT_NEAR(clip_gradients(parameters, 3).item<double>(), 6, 1e-6);
  EXPECT_TRUE(at::allclose(parameters[0].grad(), at::tensor({1.0f, 2.0f})));
  EXPECT_TRUE(at::allclose(parameters[1].grad(), at::tensor({2.0f})));
  clip_gradients(parameters, 100);
  EXPECT_TRUE(at::allclose(parameters[1].grad(), at::tensor({2.0f})));
  EXPECT_FALSE(clip_gradients({at::zeros({1})}, 1).defined());
}

TEST(LossMeter, WeighsBySamplesAndFindsTheFirstBadStep) {
  LossMeter meter(at::kCPU);
  meter.add(at::scalar_tensor(2.0), 3, 10);
  meter.add(at::scalar_tensor(5.0), 1, 11);
  EXPECT_DOUBLE_EQ(meter.totals().mean(), (2 * 3 + 5) / 4.0);
  EXPECT_DOUBLE_EQ(meter.take_recent(), 11 / 4.0);
  meter.add(at::scalar_tensor(7.0), 2, 12);
  EXPECT_DOUBLE_EQ(meter.take_recent(), 7);
  EXPECT_DOUBLE_EQ(meter.take_recent(), 7);
  EXPECT_FALSE(meter.bad_step());
  meter.add(at::scalar_tensor(std::numeric_limits<double>::infinity()), 2, 13);
  meter.add(at::scalar_tensor(std::nan("")), 2, 14);
  EXPECT_EQ(meter.bad_step(), 13);
}

}  // namespace
}  // namespace mc::testing
