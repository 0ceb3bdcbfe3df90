#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

struct BatchNorm {
  at::Tensor x = random({4, 3, 2, 2}) * 2 + 1, scale = random({3}), bias = random({3}) + 1,
             mean = random({3}) * 0.1, variance = random({3}).abs() + 0.5;
  std::vector<at::Tensor> inputs() const { return {x, scale, bias, mean, variance}; }
  at::Tensor channel(const at::Tensor& tensor) const { return tensor.view({1, 3, 1, 1}); }
};

const char* const kBatchNorm = "y = BatchNormalization <momentum = 0.75> (x, s, b, m, v)";

TEST(BatchNormalization, UsesRunningStatisticsInEvaluation) {
  const BatchNorm bn;
  const at::Tensor mean = bn.mean.clone();
  const at::Tensor expected =
      (bn.x - bn.channel(bn.mean)) / (bn.channel(bn.variance) + 1e-5).sqrt() * bn.channel(bn.scale) +
      bn.channel(bn.bias);
  expect_close(run_op1(kBatchNorm, bn.inputs()), expected, 1e-4, 1e-5);
  EXPECT_TRUE(at::equal(bn.mean, mean));
}

TEST(BatchNormalization, TrainsByTheRuleOfPyTorch) {
  const BatchNorm bn;
  const at::Tensor mean = bn.x.mean(at::IntArrayRef({0, 2, 3}));
  const at::Tensor unbiased = bn.x.var(at::IntArrayRef({0, 2, 3}), true);
  const at::Tensor biased = bn.x.var(at::IntArrayRef({0, 2, 3}), false);
  const at::Tensor moved_mean = bn.mean * 0.75 + mean * 0.25, moved = bn.variance * 0.75 + unbiased * 0.25;
  const at::Tensor y = run_op1(kBatchNorm, bn.inputs(), 15, /*training=*/true);
  expect_close(y,
               (bn.x - bn.channel(mean)) / (bn.channel(biased) + 1e-5).sqrt() * bn.channel(bn.scale) +
                   bn.channel(bn.bias),
               1e-4, 1e-5);
  expect_close(bn.mean, moved_mean);
  expect_close(bn.variance, moved);
}

TEST(BatchNormalization, FollowsTheFileForConformance) {
  const BatchNorm bn;
  const at::Tensor before = bn.mean.clone();
  const at::Tensor biased = bn.x.var(at::IntArrayRef({0, 2, 3}), false);
  RunContext run;
  run.onnx_training_mode = true;
  const auto outputs =
      run_op("y, rm, rv = BatchNormalization <momentum = 0.75, training_mode = 1> (x, s, b, m, v)",
             bn.inputs(), 15, false, {}, run);
  expect_close(outputs[2].tensor, bn.variance * 0.75 + biased * 0.25);
  EXPECT_TRUE(at::equal(bn.mean, before));
}

TEST(BatchNormalization, HasTheRightGradientInEvaluation) {
  const BatchNorm bn;
  const std::string text = "y = BatchNormalization (x, s, b, m, v)";
  std::vector<at::Tensor> inputs = bn.inputs();
  for (at::Tensor& input : inputs) input = input.to(at::kDouble);
  inputs[1].requires_grad_(true);
  run_op1(text, inputs).sum().backward();
  const at::Tensor hat = (inputs[0] - bn.channel(inputs[3])) / (bn.channel(inputs[4]) + 1e-5).sqrt();
  expect_close(inputs[1].grad(), hat.sum(at::IntArrayRef({0, 2, 3})));
}

TEST(BatchNormalization, RefusesASingleValueInTraining) {
  const at::Tensor one = at::ones({3});
  EXPECT_THROW(run_op1(kBatchNorm, {at::ones({1, 3, 1, 1}), one, one, one.clone(), one.clone()}, 15, true),
               Error);
  EXPECT_THROW(run_op1(kBatchNorm, {at::ones({2, 4, 1, 1}), one, one, one, one}), Error);
}

at::Tensor standardized(const at::Tensor& x, at::IntArrayRef axes) {
  return (x - x.mean(axes, true)) / (x.var(axes, false, true) + 1e-5).sqrt();
}

TEST(InstanceNormalization, NormalizesEachPlane) {
  const at::Tensor x = random({2, 3, 4, 5}), s = random({3}), b = random({3});
  expect_close(run_op1("y = InstanceNormalization (x, s, b)", {x, s, b}),
               standardized(x, {2, 3}) * s.view({1, 3, 1, 1}) + b.view({1, 3, 1, 1}), 1e-4, 1e-5);
}

TEST(LayerNormalization, NormalizesTrailingAxes) {
  const at::Tensor x = random({2, 3, 4}), s = random({3, 4}), b = random({3, 4});
  const auto outputs = run_op("y, m, d = LayerNormalization <axis = 1> (x, s, b)", {x, s, b});
  expect_close(outputs[0].tensor, standardized(x, {1, 2}) * s + b, 1e-4, 1e-5);
  expect_close(outputs[1].tensor, x.mean(at::IntArrayRef({1, 2}), true));
  expect_close(outputs[2].tensor, (x.var(at::IntArrayRef({1, 2}), false, true) + 1e-5).rsqrt(), 1e-4);
  const at::Tensor column = random({3, 1});
  expect_close(run_op1("y = LayerNormalization <axis = 1> (x, s)", {x, column}),
               standardized(x, {1, 2}) * column, 1e-4, 1e-5);
  expect_gradient("y = LayerNormalization (x, s, b)", {x, random({4}), random({4})});
}

TEST(GroupNormalization, ScalesGroupsOrChannels) {
  const at::Tensor x = random({2, 4, 3});
  const at::Tensor hat = standardized(x.view({2, 2, 6}), {2}).view({2, 4, 3});
  const at::Tensor channels = random({4}), groups = random({2});
  expect_close(run_op1("y = GroupNormalization <num_groups = 2> (x, s, b)", {x, channels, channels}, 21),
               hat * channels.view({1, 4, 1}) + channels.view({1, 4, 1}), 1e-4, 1e-5);
  const at::Tensor repeated = at::stack({groups[0], groups[0], groups[1], groups[1]}).view({1, 4, 1});
  expect_close(run_op1("y = GroupNormalization <num_groups = 2> (x, s, b)", {x, groups, groups}, 18),
               hat * repeated + repeated, 1e-4, 1e-5);
  EXPECT_THROW(run_op1("y = GroupNormalization <num_groups = 3> (x, s, b)", {x, channels, channels}), Error);
}

TEST(RMSNormalization, DividesByTheRootOfTheMeanSquare) {
  const at::Tensor x = random({2, 3, 4}), s = random({4});
  expect_close(run_op1("y = RMSNormalization (x, s)", {x, s}, 23),
               x / ((x * x).mean(-1, true) + 1e-5).sqrt() * s, 1e-4, 1e-5);
}

TEST(LpNormalization, DividesByTheNorm) {
  const at::Tensor x = at::tensor({3.f, -4.f, 0.f, 0.f}).view({2, 2});
  expect_close(run_op1("y = LpNormalization (x)", {x}), at::tensor({.6f, -.8f, 0.f, 0.f}).view({2, 2}));
  expect_close(run_op1("y = LpNormalization <p = 1, axis = 1> (x)", {x}),
               at::tensor({3.f / 7, -4.f / 7, 0.f, 0.f}).view({2, 2}));
}

// Each channel's window of three: one before and one behind; of two: only the one behind.
TEST(LRN, SumsSquaresOfNeighbours) {
  const at::Tensor x = at::tensor({1.f, 2.f, 3.f, 4.f}).view({1, 4, 1});
  const auto lrn = [&](const at::Tensor& sums, double size) { return x / (1 + 0.5 / size * sums).pow(0.75); };
  expect_close(run_op1("y = LRN <size = 3, alpha = 0.5> (x)", {x}),
               lrn(at::tensor({5.f, 14.f, 29.f, 25.f}).view({1, 4, 1}), 3));
  expect_close(run_op1("y = LRN <size = 2, alpha = 0.5> (x)", {x}),
               lrn(at::tensor({5.f, 13.f, 25.f, 16.f}).view({1, 4, 1}), 2));
}

TEST(MeanVarianceNormalization, Standardizes) {
  const at::Tensor x = random({2, 3, 4, 4});
  expect_close(
      run_op1("y = MeanVarianceNormalization (x)", {x}),
      (x - x.mean(at::IntArrayRef({0, 2, 3}), true)) / x.std(at::IntArrayRef({0, 2, 3}), false, true), 1e-4,
      1e-5);
}

TEST(BatchNormalization, DeclaresItsRoles) {
  const Op* op = find_op("", "BatchNormalization", 9);
  ASSERT_NE(op, nullptr);
  EXPECT_EQ(op->role(1), Role::kWeight);
  EXPECT_EQ(op->role(3), Role::kStatistic);
  EXPECT_EQ(op->role(4), Role::kStatistic);
}

}  // namespace
}  // namespace mc::testing
