#include <cmath>
#include <functional>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

struct Case {
  const char* text;
  int64_t opset;
  std::function<double(double)> formula;
};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// The formulas of ONNX's operator descriptions.
const std::vector<Case> kCases = {
    {"y = Relu (x)", 7, [](double x) { return std::max(x, 0.0); }},
    {"y = LeakyRelu <alpha = 0.1> (x)", 7, [](double x) { return x < 0 ? 0.1 * x : x; }},
    {"y = Elu <alpha = 2.0> (x)", 7, [](double x) { return x < 0 ? 2 * (std::exp(x) - 1) : x; }},
    {"y = Selu (x)", 7,
     [](double x) { return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (std::exp(x) - 1)); }},
    {"y = Celu <alpha = 2.0> (x)", 12,
     [](double x) { return std::max(0.0, x) + std::min(0.0, 2 * (std::exp(x / 2) - 1)); }},
    {"y = Sigmoid (x)", 7, sigmoid},
    {"y = HardSigmoid <alpha = 0.25, beta = 0.5> (x)", 7,
     [](double x) { return std::min(1.0, std::max(0.0, 0.25 * x + 0.5)); }},
    {"y = HardSwish (x)", 14, [](double x) { return x * std::min(1.0, std::max(0.0, x / 6 + 0.5)); }},
    {"y = Tanh (x)", 7, [](double x) { return std::tanh(x); }},
    {"y = Softplus (x)", 7, [](double x) { return std::log1p(std::exp(x)); }},
    {"y = Softsign (x)", 7, [](double x) { return x / (1 + std::fabs(x)); }},
    {"y = ThresholdedRelu <alpha = 1.5> (x)", 10, [](double x) { return x > 1.5 ? x : 0; }},
    {"y = Gelu (x)", 20, [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
    {"y = Gelu <approximate = \"tanh\"> (x)", 20,
     [](double x) {
       return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
     }},
    {"y = Mish (x)", 18, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
    {"y = Swish (x)", 24, [](double x) { return x * sigmoid(x); }},
    {"y = Swish <alpha = 0.5> (x)", 24, [](double x) { return x * sigmoid(0.5 * x); }},
    {"y = Shrink <lambd = 1.0, bias = 0.25> (x)", 9,
     [](double x) { return x < -1  ? x + 0.25
                           : x > 1 ? x - 0.25
                                   : 0; }},
    {"y = Clip <min = -1.0, max = 2.0> (x)", 6, [](double x) { return std::min(2.0, std::max(-1.0, x)); }},
};

TEST(Activation, MatchesItsFormulaAndGradient) {
  const at::Tensor x = at::linspace(-4.05, 4.05, 28, at::kDouble);  // no kink among them
  for (const Case& test : kCases) {
    SCOPED_TRACE(test.text);
    at::Tensor expected = at::empty_like(x);
    for (int64_t i = 0; i < x.numel(); ++i) expected[i] = test.formula(x[i].item<double>());
    expect_close(run_op1(test.text, {x}, test.opset), expected, 1e-6, 1e-6);
    expect_gradient(test.text, {x}, test.opset);
  }
}

TEST(Clip, TakesBoundsAsInputs) {
  const at::Tensor x = at::tensor({-2.f, 0.f, 5.f}), low = at::scalar_tensor(-1.f),
                   high = at::scalar_tensor(3.f);
  const at::Tensor expected = at::tensor({-1.f, 0.f, 3.f});
  expect_close(run_op1("y = Clip (x, a, b)", {x, low, high}, 13), expected);
  expect_close(run_op1("y = Clip (x, a, b)", {x, low, high}, 13, false, {1, 2}), expected);
  expect_close(run_op1("y = Clip (x, , b)", {x, high}, 13), at::tensor({-2.f, 0.f, 3.f}));
  expect_close(run_op1("y = Clip (x, a, b)", {x, low, high}, 13, false, {2}), expected);
  expect_close(run_op1("y = Clip (x)", {x}, 13), x);
  EXPECT_TRUE(
      at::equal(run_op1("y = Clip (x, a)", {at::tensor({1, 7}, at::kLong), at::scalar_tensor(3, at::kLong)},
                        13, false, {1}),
                at::tensor({3, 7}, at::kLong)));
  EXPECT_THROW(run_op1("y = Clip (x, a)", {x, at::ones({2})}, 13, false, {1}), Error);
}

TEST(PRelu, BroadcastsItsSlope) {
  const at::Tensor x = at::tensor({-1.f, 2.f, -3.f, 4.f}).view({1, 2, 2}),
                   slope = at::tensor({.5f, .1f}).view({2, 1});
  expect_close(run_op1("y = PRelu (x, s)", {x, slope}), at::tensor({-.5f, 2.f, -.3f, 4.f}).view({1, 2, 2}));
  expect_gradient("y = PRelu (x, s)", {x, slope});
  EXPECT_EQ(find_op("", "PRelu", 16)->role(1), Role::kWeight);
}

TEST(Activation, KeepsChannelsLastAndBfloat16) {
  const at::Tensor x = at::randn({2, 3, 4, 5}).to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  for (const char* text : {"y = Relu (x)", "y = HardSwish (x)", "y = Clip (x)", "y = Gelu (x)"}) {
    const at::Tensor y = run_op1(text, {x});
    EXPECT_EQ(y.scalar_type(), at::kBFloat16) << text;
    EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast)) << text;
  }
}

TEST(Activation, RefusesUnknownApproximation) {
  EXPECT_THROW(run_op1("y = Gelu <approximate = \"sine\"> (x)", {at::ones({1})}), Error);
  EXPECT_THROW(run_op1("y = Celu <alpha = 0.0> (x)", {at::ones({1})}), Error);
}

}  // namespace
}  // namespace mc::testing
