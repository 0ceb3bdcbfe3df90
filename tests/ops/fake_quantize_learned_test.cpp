#include "mc/ops/fake_quantize_learned.h"

#include <cmath>
#include <limits>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor learned_values(at::IntArrayRef sizes) {
  at::manual_seed(29);
  return at::randn(sizes) * 3;
}

FakeQuantizeOptions learned_grid(int64_t low, int64_t high, int64_t axis = -1) {
  FakeQuantizeOptions options;
  options.quant_min = low;
  options.quant_max = high;
  options.axis = axis;
  options.symmetric = low < 0;
  return options;
}

LearnedQuantizer learned_quantizer(const at::Tensor& scale, const at::Tensor& zero_point) {
  return {scale.clone().requires_grad_(true), zero_point.to(at::kInt), {}};
}

void expect_near(const at::Tensor& actual, const at::Tensor& expected, double part = 1e-4) {
  EXPECT_LT((actual - expected).abs().max().item<double>(), part * expected.abs().max().item<double>())
      << actual << expected;
}

TEST(LearnedFakeQuantize, HasATensGradientsPerTensor) {
  const at::Tensor data = learned_values({6, 5, 701}),
                   grad = learned_values({5, 6, 701}).reshape({6, 5, 701});
  for (const int64_t zero_point : {0, 9}) {
    at::Tensor reference = data.clone().requires_grad_(true);
    at::Tensor scale = at::full({1}, 0.11F).requires_grad_(true);
    const at::Tensor zero = at::full({1}, zero_point, at::kFloat);
    const double factor = 1 / std::sqrt(static_cast<double>(data.numel()) * (31.0 - zero_point));
    const at::Tensor expected =
        at::_fake_quantize_learnable_per_tensor_affine(reference, scale, zero, 0, 31, factor);
    expected.backward(grad);
    for (const auto type : {at::kFloat, at::kDouble}) {  // our own loops, and ATen's operators
      at::Tensor x = data.detach().clone().to(type).requires_grad_(true);
      const LearnedQuantizer own =
          learned_quantizer(at::full({1}, 0.11F), at::full({1}, zero_point, at::kInt));
      const at::Tensor y = learned_fake_quantize(x, own, learned_grid(0, 31), false);
      y.backward(grad.to(type));
      EXPECT_TRUE(at::allclose(y.to(at::kFloat), expected, 1e-6, 1e-6));
      EXPECT_TRUE(at::equal(x.grad().to(at::kFloat), reference.grad()));
      expect_near(own.scale.grad(), scale.grad());
    }
  }
}

TEST(LearnedFakeQuantize, HasATensGradientsPerChannel) {
  for (const int64_t axis : {0, 1, 2}) {  // along the last one, channels are neighbours in memory
    const at::Tensor data = learned_values({4, 6, 130}), grad = learned_values({4, 6, 130});
    const int64_t channels = data.size(axis);
    const at::Tensor steps = at::rand({channels}) * 0.3 + 0.1;
    at::Tensor x = data.clone().requires_grad_(true), reference = data.clone().requires_grad_(true);
    const LearnedQuantizer own = learned_quantizer(steps, at::zeros({channels}));
    const at::Tensor y = learned_fake_quantize(x, own, learned_grid(-7, 7, axis), false);
    y.backward(grad);
    at::Tensor scale = steps.clone().requires_grad_(true);
    const double factor = 1 / std::sqrt(static_cast<double>(data.numel() / channels) * 7);
    const at::Tensor expected = at::_fake_quantize_learnable_per_channel_affine(
        reference, scale, at::zeros({channels}), axis, -7, 7, factor);
    expected.backward(grad);
    EXPECT_TRUE(at::equal(y, expected)) << axis;
    EXPECT_TRUE(at::equal(x.grad(), reference.grad())) << axis;
    expect_near(own.scale.grad(), scale.grad());
  }
}

// ATen's zero point is a parameter in steps; ours is an offset, so the chain rule is between them.
TEST(LearnedFakeQuantize, LearnsAnOffset) {
  const at::Tensor data = learned_values({3, 900}), grad = learned_values({3, 900});
  const double step = 0.07, zero_point = 20;
  at::Tensor x = data.clone().requires_grad_(true), reference = data.clone().requires_grad_(true);
  LearnedQuantizer own = learned_quantizer(at::full({1}, step), at::zeros({1}));
  own.offset = at::full({1}, -step * zero_point).requires_grad_(true);
  const at::Tensor y = learned_fake_quantize(x, own, learned_grid(0, 63), true);
  y.backward(grad);
  at::Tensor scale = at::full({1}, step).requires_grad_(true);
  at::Tensor zero = at::full({1}, zero_point).requires_grad_(true);
  const double factor = 1 / std::sqrt(900 * (63 - zero_point));  // of one sample
  const at::Tensor expected =
      at::_fake_quantize_learnable_per_tensor_affine(reference, scale, zero, 0, 63, factor);
  expected.backward(grad);
  EXPECT_TRUE(at::equal(y, expected));
  EXPECT_TRUE(at::equal(x.grad(), reference.grad()));
  expect_near(own.offset.grad(), zero.grad() / -step, 1e-3);
  expect_near(own.scale.grad(), scale.grad() - zero.grad() * (zero_point / step), 1e-3);
}

// Where every level is clamped, the result is smooth in scale and offset.
TEST(LearnedFakeQuantize, HasTheGradientOfDifferencesWhereItIsSmooth) {
  const at::Tensor x = at::tensor({9.F, 8.F, -7.F, 30.F, -12.F});
  const at::Tensor weight = at::tensor({1.F, 2.F, -0.5F, 0.25F, 3.F});
  const FakeQuantizeOptions grid = learned_grid(-3, 3);
  const auto value = [&](double step) {
    const LearnedQuantizer own = learned_quantizer(at::full({1}, step), at::zeros({1}));
    return (learned_fake_quantize(x, own, grid, false) * weight).sum();
  };
  const LearnedQuantizer own = learned_quantizer(at::full({1}, 0.5), at::zeros({1}));
  (learned_fake_quantize(x, own, grid, false) * weight).sum().backward();
  const double difference = (value(0.51) - value(0.49)).item<double>() / 0.02;
  EXPECT_NEAR(own.scale.grad().item<double>() * std::sqrt(5 * 3), difference, 1e-4);
}

TEST(LearnedFakeQuantize, FusesTheActivation) {
  const at::Tensor data = learned_values({2, 600}), grad = learned_values({2, 600});
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    FakeQuantizeOptions relu = learned_grid(0, 15);
    relu.activation = FakeQuantizeOptions::Activation::kRelu;
    at::Tensor x = data.clone().to(type).requires_grad_(true);
    at::Tensor reference = x.detach().clone().to(at::kFloat).requires_grad_(true);
    const LearnedQuantizer fused = learned_quantizer(at::full({1}, 0.25), at::zeros({1}));
    const LearnedQuantizer apart = learned_quantizer(at::full({1}, 0.25), at::zeros({1}));
    const at::Tensor y = learned_fake_quantize(x, fused, relu, false);
    const at::Tensor expected = learned_fake_quantize(at::relu(reference), apart, learned_grid(0, 15), false);
    EXPECT_TRUE(at::equal(y.to(at::kFloat), expected));  // multiples of 1/4 are exact
    y.backward(grad.to(type));
    expected.backward(grad.to(type).to(at::kFloat));
    EXPECT_TRUE(at::equal(x.grad().to(at::kFloat), reference.grad()));
    expect_near(fused.scale.grad(), apart.scale.grad());
  }
}

TEST(LearnedFakeQuantize, BeginsAsThePapersSay) {
  const at::Tensor x = learned_values({4, 300});
  LearnedQuantizer own = learned_quantizer(at::ones({4}), at::zeros({4}));
  ASSERT_TRUE(initialize(x, own, learned_grid(-7, 7, 0), LearnedInit::kLsq));
  expect_near(own.scale.detach(), 2 * x.abs().mean(1) / std::sqrt(7.0), 1e-5);
  ASSERT_TRUE(initialize(x, own, learned_grid(-7, 7, 0), LearnedInit::kLsqPlus));
  const at::Tensor mean = x.mean(1), three = 3 * x.std(1, false);
  expect_near(own.scale.detach(), at::maximum((mean - three).abs(), (mean + three).abs()) / 7, 1e-5);

  own = learned_quantizer(at::ones({1}), at::zeros({1}));
  ASSERT_TRUE(initialize(x, own, learned_grid(0, 15), LearnedInit::kLsq));
  EXPECT_EQ(own.zero_point.item<int>(), 8);  // of values on both sides of 0
  EXPECT_NEAR(own.scale.item<double>(), 2 * x.abs().mean().item<double>() / std::sqrt(7.0), 1e-5);
  ASSERT_TRUE(initialize(x.abs(), own, learned_grid(0, 15), LearnedInit::kLsq));
  EXPECT_EQ(own.zero_point.item<int>(), 0);
}

TEST(LearnedFakeQuantize, BeginsWithLittleErrorAroundAnOffset) {
  const at::Tensor x = learned_values({4000}).abs() - 1;
  LearnedQuantizer own = learned_quantizer(at::ones({1}), at::zeros({1}));
  own.offset = at::zeros({1}).requires_grad_(true);
  const FakeQuantizeOptions grid = learned_grid(0, 15);
  ASSERT_TRUE(initialize(x, own, grid, LearnedInit::kLsqPlus));
  const at::NoGradGuard no_grad;
  const double error = (learned_fake_quantize(x, own, grid, false) - x).square().mean().item<double>();
  const auto [scale, zero] = choose_qparams(x.min(), x.max(), 0, 15, false);
  const at::Tensor whole =
      at::fake_quantize_per_tensor_affine(x, scale.item<float>(), zero.item<int>(), 0, 15);
  EXPECT_LT(error, (whole - x).square().mean().item<double>());
  EXPECT_NEAR(own.offset.item<double>() / own.scale.item<double>(), -own.zero_point.item<int>(), 1e-4);
}

TEST(LearnedFakeQuantize, WaitsForNumbers) {
  const LearnedQuantizer own = learned_quantizer(at::ones({1}), at::zeros({1}));
  const FakeQuantizeOptions grid = learned_grid(0, 15);
  EXPECT_FALSE(initialize(at::zeros({5}), own, grid, LearnedInit::kLsq));
  EXPECT_FALSE(initialize(at::full({5}, NAN), own, grid, LearnedInit::kLsq));
  EXPECT_FALSE(initialize(at::empty({0}), own, grid, LearnedInit::kLsq));
  EXPECT_EQ(own.scale.item<float>(), 1);
  // A channel of zeros among others is no obstacle.
  const LearnedQuantizer two = learned_quantizer(at::ones({2}), at::zeros({2}));
  const at::Tensor x = at::stack({at::zeros({4}), at::ones({4})});
  EXPECT_TRUE(initialize(x, two, learned_grid(-7, 7, 0), LearnedInit::kLsq));
  EXPECT_EQ(two.scale[0].item<float>(), 1);
}

TEST(LearnedFakeQuantize, ObeysItsFlags) {
  const at::Tensor x = learned_values({3, 40});
  const auto run = [&](const LearnedQuantizer& own, const at::Tensor& flags, bool training) {
    return run_op1(
        "y = mc.LearnedFakeQuantize <quant_min = 0, quant_max = 15, activation = \"Relu\">"
        " (x, s, z, f)",
        {x, own.scale, own.zero_point, flags}, 21, training);
  };
  const LearnedQuantizer own = learned_quantizer(at::ones({1}), at::zeros({1}));
  const at::Tensor flags = at::tensor({1, 1, 0}, at::kLong);
  EXPECT_TRUE(at::equal(run(own, flags, false), at::relu(x)));  // not ready
  EXPECT_EQ(flags[2].item<int64_t>(), 0);
  const at::Tensor y = run(own, flags, true);
  EXPECT_EQ(flags[2].item<int64_t>(), 1);
  const float scale = own.scale.item<float>();
  EXPECT_NE(scale, 1);
  EXPECT_TRUE(at::equal(y, at::fake_quantize_per_tensor_affine(at::relu(x), scale, 0, 0, 15)));
  EXPECT_TRUE(y.requires_grad());
  flags[0].fill_(0);
  EXPECT_FALSE(run(own, flags, true).requires_grad());
  flags[1].fill_(0);
  EXPECT_TRUE(at::equal(run(own, flags, true), at::relu(x)));
}

TEST(LearnedFakeQuantize, RefusesWhatItCannotMean) {
  const at::Tensor x = learned_values({4}), flags = at::tensor({1, 1, 0}, at::kLong);
  const std::vector<at::Tensor> inputs = {x, at::ones({1}), at::zeros({1}, at::kInt), flags};
  const auto run = [&](const std::string& attributes, const std::vector<at::Tensor>& given) {
    run_op("y = mc.LearnedFakeQuantize " + attributes + " (x, s, z, f)", given, 21, true);
  };
  EXPECT_THROW(run("<init = \"best\">", inputs), Error);
  EXPECT_THROW(run("<axis = 0>", inputs), Error);  // four channels, one scale
  EXPECT_THROW(run("<axis = 2>", inputs), Error);
  EXPECT_THROW(run("<axis = 0, block_size = 2>", inputs), Error);
  std::vector<at::Tensor> wrong = inputs;
  wrong[3] = at::ones({2}, at::kLong);
  EXPECT_THROW(run("", wrong), Error);
  wrong = inputs;
  wrong[1] = at::ones({1}, at::kDouble);
  EXPECT_THROW(run("", wrong), Error);
  wrong = inputs;
  wrong[0] = at::ones({4}, at::kLong);
  EXPECT_THROW(run("", wrong), Error);
}

}  // namespace
}  // namespace mc::testing
