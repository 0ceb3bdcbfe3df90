#include "mc/quantize/smooth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/quantize/calibrate.h"
#include "tests/quantize/ptq_testing.h"

namespace mc {
namespace {

QuantizeOptions smoothing(double alpha) {
  QuantizeOptions options;
  options.smooth = alpha;
  return options;
}

at::Tensor factors_by_hand(const at::Tensor& x, const std::vector<at::Tensor>& weights, double alpha) {
  const at::Tensor activations = x.abs().reshape({-1, x.size(-1)}).amax(0);
  const at::Tensor rows = at::cat(weights, 1).abs().amax(1);
  return activations.pow(alpha) / rows.pow(1 - alpha);
}

TEST(Smooth, PutsEquationFourIntoTheNormalizationBeforeThreeLayers) {
  at::manual_seed(1);
  const at::Tensor gamma = at::randn({8}) * 3, beta = at::randn({8});
  const at::Tensor q = at::randn({8, 6}), k = at::randn({8, 6}), v = at::randn({8, 4});
  Model model =
      ptq_model("N,5,8",
                "n = LayerNormalization(x, gamma, beta) a = MatMul(n, q) b = MatMul(n, k) c = MatMul(n, v) "
                "y = Concat <axis = 2> (a, b, c)",
                {{"gamma", gamma}, {"beta", beta}, {"q", q}, {"k", k}, {"v", v}});
  const at::Tensor x = at::randn({6, 5, 8});
  const at::Tensor expected = infer(model, x);
  const at::Tensor s = factors_by_hand(at::layer_norm(x, {8}, gamma, beta), {q, k, v}, 0.7);
  const SmoothReport report = smooth(model, samples_of({x.slice(0, 0, 4), x.slice(0, 4)}), smoothing(0.7));
  EXPECT_EQ(report.absorbed, 1);
  EXPECT_EQ(report.scaled, 0);
  verify(model);
  EXPECT_TRUE(constant_of(model, "gamma").allclose(gamma / s, 1e-5, 0));
  EXPECT_TRUE(constant_of(model, "beta").allclose(beta / s, 1e-5, 0));
  EXPECT_TRUE(constant_of(model, "k").allclose(k * s.unsqueeze(1), 1e-5, 0));
  EXPECT_LT(relative_error(expected, infer(model, x)), 1e-5);
}

struct SmoothCase {
  std::string name;
  std::string nodes;
  int64_t absorbed;
  int64_t scaled;
};

std::ostream& operator<<(std::ostream& out, const SmoothCase& test) {
  return out << test.name;
}

class SmoothBefore : public testing::TestWithParam<SmoothCase> {};

TEST_P(SmoothBefore, KeepsTheFunction) {
  at::manual_seed(2);
  const SmoothCase& test = GetParam();
  Model model = ptq_model("N,5,8", test.nodes,
                          {{"gamma", at::randn({8}) * 3},
                           {"beta", at::randn({8})},
                           {"w1", at::randn({8, 8})},
                           {"w2", at::randn({8, 8})},
                           {"w3", at::randn({8, 8})},
                           {"b", at::randn({8})},
                           {"two", at::full({}, 2.0)},
                           {"eps", at::full({}, 1e-5)}});
  model.graph.drop_unused();
  const at::Tensor x = at::randn({6, 5, 8}) * (at::randn({8}) * 2).exp();
  const at::Tensor expected = infer(model, x);
  const SmoothReport report = smooth(model, samples_of({x}), smoothing(0.5));
  verify(model);
  EXPECT_EQ(report.absorbed, test.absorbed);
  EXPECT_EQ(report.scaled, test.scaled);
  EXPECT_LT(relative_error(expected, infer(model, x)), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(
    All, SmoothBefore,
    testing::Values(
        SmoothCase{"input", "y = MatMul(x, w1)", 0, 1},
        SmoothCase{"root_mean_square", "n = SimplifiedLayerNormalization(x, gamma) y = MatMul(n, w1)", 1, 0},
        SmoothCase{"skip_norm",
                   "n = com.microsoft.SkipLayerNormalization(x, x, gamma, beta) y = MatMul(n, w1)", 1, 0},
        SmoothCase{
            "decomposed_norm",
            "m = ReduceMean <axes = [-1]> (x) d = Sub(x, m) q = Mul(d, d) s = ReduceMean <axes = [-1]> (q) "
            "e = Add(s, eps) r = Sqrt(e) n = Div(d, r) g = Mul(n, gamma) a = Add(g, beta) y = MatMul(a, w1)",
            1, 0},
        SmoothCase{"linear", "a = MatMul(x, w1) c = Add(a, b) r = Relu(c) y = MatMul(r, w2)", 1, 1},
        SmoothCase{"curved",
                   "n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) g = Tanh(a) y = MatMul(g, w2)",
                   1, 1},
        SmoothCase{"gate",
                   "g = MatMul(x, w1) s = Sigmoid(g) u = MatMul(x, w2) m = Mul(s, u) y = MatMul(m, w3)", 1,
                   1},
        SmoothCase{"residual", "n = LayerNormalization(x, gamma) a = MatMul(n, w1) y = Add(a, n)", 0, 1},
        SmoothCase{
            "shared_scale",
            "n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) m = LayerNormalization(a, gamma, beta) "
            "y = MatMul(m, w2)",
            2, 0}),
    [](const auto& test) { return test.param.name; });

TEST(Smooth, MovesEverythingIntoTheWeightsWithAlphaOne) {
  at::manual_seed(3);
  Model model = ptq_model("N,8", "y = Gemm <transB = 1> (x, w)", {{"w", at::randn({3, 8})}});
  at::Tensor x = at::randn({16, 8}) * at::logspace(-2, 2, 8);
  x.select(1, 5).zero_();
  smooth(model, samples_of({x}), smoothing(1));
  Model tapped = model;
  tapped.graph.outputs[0].name = "x_smoothed";
  const at::Tensor maxima = infer(tapped, x).abs().amax(0);
  at::Tensor expected = at::ones({8});
  expected[5] = 0;
  EXPECT_TRUE(maxima.allclose(expected, 1e-5, 1e-6)) << maxima;
}

TEST(Smooth, LeavesLayersFloatThatTheOptionsKeepFloat) {
  at::manual_seed(4);
  Model model = ptq_model("N,8", "[first] a = MatMul(x, w1) t = Tanh(a) [second] y = MatMul(t, w2)",
                          {{"w1", at::randn({8, 8})}, {"w2", at::randn({8, 8})}});
  QuantizeOptions options = smoothing(0.5);
  options.keep_float = {"first"};
  const at::Tensor before = constant_of(model, "w1");
  EXPECT_EQ(smooth(model, samples_of({at::randn({4, 8})}), options).scaled, 1);
  EXPECT_TRUE(constant_of(model, "w1").equal(before));
  EXPECT_EQ(count_of(model, "Mul"), 1);
}

TEST(Smooth, SaysWhichValueIsNotFinite) {
  Model model = ptq_model("N,8", "y = MatMul(x, w)", {{"w", at::ones({8, 8})}});
  at::Tensor x = at::ones({4, 8});
  x[1][2] = std::numeric_limits<float>::quiet_NaN();
  try {
    smooth(model, samples_of({x}), smoothing(0.5));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("'x'"));
  }
}

TEST(Smooth, GainsWithOutliersInAFewChannels) {
  at::manual_seed(5);
  at::Tensor gamma = at::ones({32});
  gamma[3] = 60;
  gamma[17] = 90;
  const Model model = ptq_model(
      "N,6,32", "n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) r = Relu(a) y = MatMul(r, w2)",
      {{"gamma", gamma},
       {"beta", at::randn({32})},
       {"w1", at::randn({32, 64}) * 0.1},
       {"w2", at::randn({64, 8})}});
  const auto data = random_dataset(64, {{"x", at::kFloat, {6, 32}}}, 11);
  const at::Tensor x = all(*data).inputs[0];
  const at::Tensor expected = infer(model, x);
  const double plain = snr_of(expected, infer(quantize_ptq(model, data, {}, {}).model, x));
  const QuantizedModel smoothed = quantize_ptq(model, data, {}, smoothing(0.5));
  EXPECT_GT(snr_of(expected, infer(smoothed.model, x)), plain + 4);
  ASSERT_EQ(smoothed.steps.size(), 1U);
  EXPECT_EQ(smoothed.steps[0].name, "smooth");
  EXPECT_EQ(smoothed.steps[0].places, 2);
}

}  // namespace
}  // namespace mc
