#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor loss_targets(at::IntArrayRef sizes, int64_t classes) {
  return at::arange(c10::multiply_integers(sizes), at::kLong).mul(7).remainder(classes).reshape(sizes);
}

// The definition with one-hot targets: -sum_c weight_c onehot_c x_c, nothing where the target is `ignored`.
at::Tensor one_hot_loss(const at::Tensor& x, const at::Tensor& target, const at::Tensor& weight,
                        std::optional<int64_t> ignored, const std::string& reduction) {
  std::vector<int64_t> column(x.dim(), 1);
  column[1] = x.size(1);
  const at::Tensor classes = at::arange(x.size(1)).reshape(column);
  at::Tensor counted = (target.unsqueeze(1) == classes).to(x.scalar_type());
  if (weight.defined()) counted = counted * weight.reshape(column);
  if (ignored) counted = counted * (target.unsqueeze(1) != *ignored);
  const at::Tensor loss = -(x * counted).sum(1);
  if (reduction == "none") return loss;
  return reduction == "sum" ? loss.sum() : loss.sum() / counted.sum();
}

TEST(NegativeLogLikelihoodLoss, FollowsItsDefinitionInAnyRank) {
  const at::Tensor weight = random({5}).abs() + 0.1;
  for (const std::vector<int64_t>& space : std::vector<std::vector<int64_t>>{{}, {3}, {2, 3}, {2, 1, 3}}) {
    std::vector<int64_t> sizes = {4, 5}, places = {4};
    sizes.insert(sizes.end(), space.begin(), space.end());
    places.insert(places.end(), space.begin(), space.end());
    const at::Tensor x = at::log_softmax(random(sizes), 1), target = loss_targets(places, 5);
    for (const std::string reduction : {"none", "sum", "mean"}) {
      const std::string head = "y = NegativeLogLikelihoodLoss <reduction = \"" + reduction + "\"";
      expect_close(run_op1(head + "> (x, t)", {x, target}), one_hot_loss(x, target, {}, {}, reduction));
      expect_close(run_op1(head + "> (x, t, w)", {x, target, weight}),
                   one_hot_loss(x, target, weight, {}, reduction));
      expect_close(run_op1(head + ", ignore_index = 2> (x, t, w)", {x, target.to(at::kInt), weight}),
                   one_hot_loss(x, target, weight, 2, reduction));
    }
  }
}

TEST(NegativeLogLikelihoodLoss, IgnoresTargetsThatAreNoClass) {
  const at::Tensor x = at::log_softmax(random({3, 4}), 1);
  const at::Tensor target = ints({1, -5, 3});
  expect_close(run_op1("y = NegativeLogLikelihoodLoss <ignore_index = -5> (x, t)", {x, target}),
               -(x[0][1] + x[2][3]) / 2);
  expect_close(run_op1("y = NegativeLogLikelihoodLoss <ignore_index = 9, reduction = \"none\"> (x, t)",
                       {x, ints({9, 0, 9})}),
               at::stack({at::zeros({}), -x[1][0], at::zeros({})}));
}

TEST(SoftmaxCrossEntropyLoss, IsTheLossOfTheLogSoftmax) {
  const at::Tensor x = random({3, 4, 2}), target = loss_targets({3, 2}, 4), weight = random({4}).abs() + 0.1;
  const std::vector<Slot> results =
      run_op("y, p = SoftmaxCrossEntropyLoss <ignore_index = 1> (x, t, w)", {x, target, weight});
  const at::Tensor log_prob = x - x.exp().sum(1, true).log();
  expect_close(results[1].tensor, log_prob);
  expect_close(results[0].tensor, one_hot_loss(log_prob, target, weight, 1, "mean"));
}

TEST(SoftmaxCrossEntropyLoss, TrainsScoresAndNarrowTypes) {
  const at::Tensor x = random({3, 4, 2}), target = loss_targets({3, 2}, 4);
  for (const std::string reduction : {"none", "sum", "mean"}) {
    expect_gradient(
        "y = SoftmaxCrossEntropyLoss <ignore_index = 0, reduction = \"" + reduction + "\"> (x, t)",
        {x, target});
    expect_gradient("y = NegativeLogLikelihoodLoss <reduction = \"" + reduction + "\"> (x, t)", {x, target});
  }
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    expect_close(run_op1("y = SoftmaxCrossEntropyLoss (x, t)", {x.to(type), target}),
                 run_op1("y = SoftmaxCrossEntropyLoss (x, t)", {x, target}).to(type), 1e-2, 1e-2);
  }
}

TEST(Losses, RefuseWhatDoesNotFit) {
  const at::Tensor x = random({3, 4});
  EXPECT_THROW(run_op1("y = NegativeLogLikelihoodLoss (x, t)", {x, ints({0, 4, 1})}), Error);
  EXPECT_THROW(run_op1("y = NegativeLogLikelihoodLoss (x, t)", {x, ints({0, -100, 1})}), Error);
  EXPECT_THROW(run_op1("y = NegativeLogLikelihoodLoss (x, t)", {x, ints({0, 1})}), Error);
  EXPECT_THROW(run_op1("y = NegativeLogLikelihoodLoss (x, t)", {random({3}), ints({0, 1, 2})}), Error);
  EXPECT_THROW(run_op1("y = SoftmaxCrossEntropyLoss (x, t)", {random({3}), ints({0, 1, 2})}), Error);
  EXPECT_THROW(run_op1("y = NegativeLogLikelihoodLoss (x, t, w)", {x, ints({0, 1, 2}), random({3})}), Error);
  EXPECT_THROW(run_op1("y = NegativeLogLikelihoodLoss <reduction = \"max\"> (x, t)", {x, ints({0, 1, 2})}),
               Error);
}

TEST(Losses, InferTheirShapes) {
  const std::string head =
      "<ir_version: 10, opset_import: [\"\" : 21]> g (float[N,5,7] x, int64[N,7] t) => () ";
  EXPECT_EQ(
      to_string(inferred(head + "{ y = NegativeLogLikelihoodLoss <reduction = \"none\"> (x, t) }", "y")),
      "float[N,7]");
  EXPECT_EQ(to_string(inferred(head + "{ y, p = SoftmaxCrossEntropyLoss (x, t) }", "y")), "float");
  EXPECT_EQ(to_string(inferred(head + "{ y, p = SoftmaxCrossEntropyLoss (x, t) }", "p")), "float[N,5,7]");
}

}  // namespace
}  // namespace mc::testing
