#include "mc/ops/fake_quantize.h"

#include <cmath>
#include <limits>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
using Activation = FakeQuantizeOptions::Activation;

at::Tensor wide_random(at::IntArrayRef sizes) {
  at::manual_seed(17);
  return at::randn(sizes) * 2;
}

FakeQuantizeState fresh_state(int64_t channels) {
  return {at::ones({channels}), at::zeros({channels}, at::kInt), at::full({channels}, kInfinity),
          at::full({channels}, -kInfinity)};
}

FakeQuantizeState state_of(const at::Tensor& scale, const at::Tensor& zero_point) {
  FakeQuantizeState state = fresh_state(scale.numel());
  state.scale = scale;
  state.zero_point = zero_point;
  return state;
}

FakeQuantizeOptions unsigned_options(Activation activation = Activation::kNone) {
  FakeQuantizeOptions options;
  options.quant_min = 0;
  options.quant_max = 255;
  options.symmetric = false;
  options.activation = activation;
  return options;
}

// Lengths around the block of 512 elements.
TEST(FakeQuantize, EqualsATenBitForBitPerTensor) {
  const FakeQuantizeState state = state_of(at::tensor({0.0313f}), at::tensor({113}, at::kInt));
  for (int64_t length : {1, 15, 16, 511, 512, 513, 5000, 100003}) {
    at::Tensor x = wide_random({length}).requires_grad_(true),
               reference = x.detach().clone().requires_grad_(true);
    const at::Tensor y = fake_quantize(x, state, unsigned_options());
    const at::Tensor expected = at::fake_quantize_per_tensor_affine(reference, 0.0313f, 113, 0, 255);
    ASSERT_TRUE(at::equal(y, expected)) << length;
    const at::Tensor grad = wide_random({length});
    y.backward(grad);
    expected.backward(grad);
    ASSERT_TRUE(at::equal(x.grad(), reference.grad())) << length;
    const at::NoGradGuard no_grad;
    ASSERT_TRUE(at::equal(fake_quantize(x, state, unsigned_options()), expected)) << length;
  }
}

TEST(FakeQuantize, RoundsTiesToEven) {
  const at::Tensor x = at::tensor({0.5f, 1.5f, 2.5f, -0.5f, 200.f, -200.f});
  const at::Tensor y = fake_quantize(x, state_of(at::ones({1}), at::zeros({1}, at::kInt)), {});
  EXPECT_TRUE(at::equal(y, at::tensor({0.f, 2.f, 2.f, 0.f, 127.f, -128.f})));
}

TEST(FakeQuantize, EqualsATenPerChannelInEveryLayout) {
  for (const int64_t axis : {0, 1, 3}) {
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      const at::Tensor data = wide_random({6, 5, 7, 9}).contiguous(format);
      const int64_t channels = data.size(axis);
      const at::Tensor scale = at::rand({channels}) * 0.05 + 0.01;
      const at::Tensor zero = at::randint(-5, 5, {channels}).to(at::kInt);
      FakeQuantizeOptions options;
      options.axis = axis;
      at::Tensor x = data.clone().requires_grad_(true), reference = data.clone().requires_grad_(true);
      const at::Tensor y = fake_quantize(x, state_of(scale, zero), options);
      const at::Tensor expected =
          at::fake_quantize_per_channel_affine(reference, scale, zero, axis, -128, 127);
      EXPECT_TRUE(at::equal(y, expected)) << axis;
      EXPECT_EQ(y.strides(), x.strides());
      // The gradient arrives in another layout than x has.
      const at::Tensor grad = wide_random(data.sizes()).transpose(2, 3).contiguous().transpose(2, 3);
      y.backward(grad);
      expected.backward(grad);
      EXPECT_TRUE(at::equal(x.grad(), reference.grad())) << axis;
    }
  }
}

TEST(FakeQuantize, FusesTheActivationAndItsGradient) {
  const FakeQuantizeState state = state_of(at::tensor({0.02f}), at::tensor({3}, at::kInt));
  FakeQuantizeOptions clip = unsigned_options(Activation::kClip);
  clip.clip_min = -0.03f;
  clip.clip_max = 4.0f;
  for (const auto& options : {unsigned_options(Activation::kRelu), clip}) {
    at::Tensor x = wide_random({3, 700}), reference;
    x[0][0] = 0;  // the kinks themselves
    x[0][1] = clip.clip_max;
    x[0][2] = clip.clip_min;
    reference = x.clone().requires_grad_(true);
    x.requires_grad_(true);
    const at::Tensor before = x.detach().clone();
    const at::Tensor active = options.activation == Activation::kRelu
                                  ? at::relu(reference)
                                  : at::clamp(reference, clip.clip_min, clip.clip_max);
    const at::Tensor expected = at::fake_quantize_per_tensor_affine(active, 0.02f, 3, 0, 255);
    const at::Tensor y = fake_quantize(x, state, options);
    EXPECT_TRUE(at::equal(y, expected));
    const at::Tensor grad = wide_random({3, 700});
    y.backward(grad);
    expected.backward(grad);
    EXPECT_TRUE(at::equal(x.grad(), reference.grad()));
    EXPECT_TRUE(at::equal(x, before));
  }
}

TEST(FakeQuantize, ComputesBfloat16InFloat) {
  const FakeQuantizeState state = state_of(at::tensor({0.037f}), at::tensor({90}, at::kInt));
  at::Tensor x = wide_random({2, 3, 20, 21}).to(at::kBFloat16).requires_grad_(true);
  const at::Tensor y = fake_quantize(x, state, unsigned_options());
  const at::Tensor expected =
      at::fake_quantize_per_tensor_affine(x.detach().to(at::kFloat), 0.037f, 90, 0, 255);
  EXPECT_TRUE(at::equal(y, expected.to(at::kBFloat16)));
  const at::Tensor grad = wide_random(x.sizes()).to(at::kBFloat16);
  y.backward(grad);
  const at::Tensor level = at::round(x.detach().to(at::kFloat) * (1 / 0.037f)) + 90;
  EXPECT_TRUE(at::equal(x.grad(), grad * ((level >= 0) & (level <= 255))));
}

// Doubles and views with gaps go through ATen's operators: the same numbers.
TEST(FakeQuantize, AgreesWithItsComposition) {
  const FakeQuantizeState state = state_of(at::tensor({0.03125f}), at::tensor({7}, at::kInt));
  const at::Tensor x = wide_random({40, 50});
  const at::Tensor y = fake_quantize(x, state, unsigned_options(Activation::kRelu));
  EXPECT_TRUE(at::equal(fake_quantize(x.to(at::kDouble), state, unsigned_options(Activation::kRelu)),
                        y.to(at::kDouble)));
  const at::Tensor view = x.slice(1, 0, 50, 3);
  EXPECT_TRUE(
      at::equal(fake_quantize(view, state, unsigned_options(Activation::kRelu)), y.slice(1, 0, 50, 3)));
}

TEST(FakeQuantize, LetsNotANumberThrough) {
  at::Tensor x = at::tensor({1.f, NAN, 2.f}).requires_grad_(true);
  const FakeQuantizeState state = state_of(at::tensor({0.1f}), at::zeros({1}, at::kInt));
  const at::Tensor y = fake_quantize(x, state, unsigned_options(Activation::kRelu));
  EXPECT_TRUE(std::isnan(y[1].item<float>()));
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({1.f, 0.f, 1.f})));
  EXPECT_TRUE(fake_quantize(x.detach().to(at::kBFloat16), state, {})[1].isnan().item<bool>());
}

TEST(ChooseQparams, FollowsTheObserversFormula) {
  const at::Tensor low = at::tensor({-1.f, 0.5f, -3.f, 0.f}), high = at::tensor({3.f, 2.f, -1.f, 0.f});
  const auto [affine, zero] = choose_qparams(low, high, 0, 255, false);
  expect_close(affine, at::tensor({4.f / 255, 2.f / 255, 3.f / 255, 1.1920929e-7f}));
  EXPECT_TRUE(at::equal(zero, at::tensor({64, 0, 255, 0}, at::kInt)));
  const auto [symmetric, none] = choose_qparams(low, high, -127, 127, true);
  expect_close(symmetric, at::tensor({3.f / 127, 2.f / 127, 3.f / 127, 1.1920929e-7f}));
  EXPECT_EQ(none.abs().sum().item<int>(), 0);
  EXPECT_EQ(choose_qparams(low, high, 0, 255, true).second[0].item<int>(), 128);
}

TEST(Observe, AveragesRanges) {
  FakeQuantizeOptions options = unsigned_options(Activation::kRelu);
  options.averaging = 0.25;
  const FakeQuantizeState state = fresh_state(1);
  observe(at::tensor({-5.f, 1.f, 4.f}), state, options);
  EXPECT_EQ(state.running_min.item<float>(), 0);  // of the activation
  EXPECT_EQ(state.running_max.item<float>(), 4);  // the first range is taken as it is
  observe(at::tensor({0.f, 8.f}), state, options);
  EXPECT_FLOAT_EQ(state.running_max.item<float>(), 5);
  EXPECT_FLOAT_EQ(state.scale.item<float>(), 5.f / 255);
  options.observer = FakeQuantizeOptions::Observer::kMinMax;
  observe(at::tensor({0.f, 7.f}), state, options);
  EXPECT_EQ(state.running_max.item<float>(), 7);
}

TEST(Observe, IgnoresRangesThatAreNotFinite) {
  const FakeQuantizeState state = fresh_state(1);
  observe(at::tensor({1.f, 2.f}), state, unsigned_options());
  const at::Tensor scale = state.scale.clone();
  observe(at::tensor({1.f, kInfinity}), state, unsigned_options());
  observe(at::tensor({NAN, NAN}), state, unsigned_options());
  observe(at::empty({0}), state, unsigned_options());
  EXPECT_TRUE(at::equal(state.scale, scale));
  EXPECT_EQ(state.running_max.item<float>(), 2);
}

TEST(ObservedRange, FindsExtremesInEveryLayout) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      const at::Tensor x = wide_random({5, 37, 11, 13}).to(type).contiguous(format);
      const auto [low, high] = observed_range(x, -1);
      EXPECT_EQ(low.item<float>(), x.min().item<float>());
      EXPECT_EQ(high.item<float>(), x.max().item<float>());
      for (int64_t axis = 0; axis < 4; ++axis) {
        const auto [lows, highs] = observed_range(x, axis);
        const at::Tensor rows = x.transpose(0, axis).flatten(1).to(at::kFloat);
        EXPECT_TRUE(at::equal(lows, rows.amin(1)));
        EXPECT_TRUE(at::equal(highs, rows.amax(1)));
      }
    }
  }
}

const char* const kNode =
    "y = mc.FakeQuantize <quant_min = 0, quant_max = 255, symmetric = 0, activation = \"Relu\">"
    " (x, s, z, low, high, f)";

TEST(FakeQuantize, ObeysItsFlags) {
  const at::Tensor x = wide_random({4, 100});
  const auto run = [&](int64_t observes, int64_t quantizes, bool training, const FakeQuantizeState& state) {
    return run_op1(kNode,
                   {x, state.scale, state.zero_point, state.running_min, state.running_max,
                    at::tensor({observes, quantizes}, at::kLong)},
                   21, training);
  };
  FakeQuantizeState state = fresh_state(1);
  EXPECT_TRUE(at::equal(run(1, 0, false, state), at::relu(x)));
  EXPECT_TRUE(std::isinf(state.running_min.item<float>()));
  EXPECT_TRUE(at::equal(run(1, 0, true, state), at::relu(x)));
  EXPECT_EQ(state.running_max.item<float>(), x.max().item<float>());
  const at::Tensor y = run(0, 1, true, state);
  EXPECT_TRUE(
      at::equal(y, at::fake_quantize_per_tensor_affine(at::relu(x), state.scale.item<float>(), 0, 0, 255)));
}

TEST(FakeQuantize, RefusesWhatItCannotMean) {
  const at::Tensor x = wide_random({4}), flags = at::tensor({1, 1}, at::kLong);
  const FakeQuantizeState state = fresh_state(1);
  const std::vector<at::Tensor> inputs = {
      x, state.scale, state.zero_point, state.running_min, state.running_max, flags};
  const auto run = [&](const std::string& attributes, const std::vector<at::Tensor>& given) {
    run_op("y = mc.FakeQuantize " + attributes + " (x, s, z, low, high, f)", given, 21, true);
  };
  EXPECT_THROW(run("<quant_min = 5, quant_max = 5>", inputs), Error);
  EXPECT_THROW(run("<observer = \"entropy\">", inputs), Error);
  EXPECT_THROW(run("<activation = \"Gelu\">", inputs), Error);
  EXPECT_THROW(run("<averaging = 2.0>", inputs), Error);
  EXPECT_THROW(run("<axis = 0>", inputs), Error);  // four channels, one scale
  EXPECT_THROW(run("<axis = 3>", inputs), Error);
  std::vector<at::Tensor> wrong = inputs;
  wrong[5] = at::ones({1}, at::kLong);
  EXPECT_THROW(run("", wrong), Error);
  wrong = inputs;
  wrong[0] = at::ones({4}, at::kLong);
  EXPECT_THROW(run("", wrong), Error);
}

}  // namespace
}  // namespace mc::testing
