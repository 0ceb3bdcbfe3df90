#include "mc/ops/fake_quantize_observers.h"

#include <cmath>
#include <limits>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

constexpr float kEndless = std::numeric_limits<float>::infinity();
using Observer = FakeQuantizeOptions::Observer;

at::Tensor observed_values(int64_t count, uint64_t seed = 31) {
  at::manual_seed(seed);
  return at::randn({count}) * 2;
}

FakeQuantizeOptions observing(Observer observer, bool symmetric = false) {
  FakeQuantizeOptions options;
  options.quant_min = symmetric ? -7 : 0;
  options.quant_max = symmetric ? 7 : 15;
  options.symmetric = symmetric;
  options.observer = observer;
  return options;
}

FakeQuantizeState unseen() {
  return {at::ones({1}), at::zeros({1}, at::kInt), at::full({1}, kEndless), at::full({1}, -kEndless),
          at::zeros({kHistogramState}, at::kDouble)};
}

double error_of(const at::Tensor& x, double low, double high, const FakeQuantizeOptions& options) {
  const auto [scale, zero] =
      choose_qparams(at::scalar_tensor(low, at::kFloat), at::scalar_tensor(high, at::kFloat),
                     options.quant_min, options.quant_max, options.symmetric);
  const at::Tensor y = at::fake_quantize_per_tensor_affine(x, scale.item<float>(), zero.item<int>(),
                                                           options.quant_min, options.quant_max);
  return (y - x).square().mean().item<double>();
}

TEST(Subsample, TakesElementsOfEveryChannel) {
  const at::Tensor x = at::arange(64, at::kFloat)
                           .reshape({1, 64, 1, 1})
                           .expand({32, 64, 16, 16})
                           .contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor values = subsample(x);
  EXPECT_LE(values.numel(), kSubsample);
  EXPECT_GT(values.numel(), kSubsample / 2);
  EXPECT_EQ(std::get<0>(at::_unique(values)).numel(), 64);
  EXPECT_TRUE(at::equal(subsample(x.flatten().slice(0, 0, 100)), x.flatten().slice(0, 0, 100)));
}

TEST(PercentileOf, LeavesOutTheOutermost) {
  const at::Tensor x = at::arange(-20, 81, at::kFloat);
  const auto [low, high] = percentile_of(x, 90, observing(Observer::kPercentile));
  EXPECT_NEAR(low.item<float>(), -10, 1e-4);
  EXPECT_NEAR(high.item<float>(), 70, 1e-4);
  const auto [none, some] = percentile_of(x + 20, 90, observing(Observer::kPercentile));
  EXPECT_EQ(none.item<float>(), 0);  // the end at 0 stays
  EXPECT_NEAR(some.item<float>(), 90, 1e-4);
  const auto [minus, plus] = percentile_of(x, 90, observing(Observer::kPercentile, true));
  EXPECT_EQ(minus.item<float>(), -20);  // within what was seen
  EXPECT_NEAR(plus.item<float>(), 70, 0.6);
}

TEST(LeastErrorRange, IsNearTheBestOfAll) {
  const at::Tensor x = at::cat({observed_values(4000), at::tensor({30.F})});
  for (const bool symmetric : {false, true}) {
    const FakeQuantizeOptions options = observing(Observer::kMse, symmetric);
    const auto [low, high] = least_error_range(x, options);
    double best = kEndless;
    for (double a = 0.5; a <= 30; a += 0.25) {
      for (double b = 0.5; b <= 8; b += 0.25) {
        best = std::min(best, error_of(x, symmetric ? -a : -b, a, options));
      }
    }
    const double found = error_of(x, low.item<float>(), high.item<float>(), options);
    EXPECT_LT(found, 1.08 * best) << symmetric;
    EXPECT_LT(found, 0.5 * error_of(x, x.min().item<float>(), 30, options));
  }
}

TEST(LeastErrorRange, CountsWeights) {
  const at::Tensor x = observed_values(500);
  const FakeQuantizeOptions options = observing(Observer::kMse);
  const at::Tensor doubled = at::cat({x, x.slice(0, 0, 100), at::tensor({1000.F})});
  at::Tensor weights = at::ones({601});
  weights[600] = 0;
  const auto [low, high] = least_error_range(doubled, options, weights);
  at::Tensor counts = at::ones({500});
  counts.slice(0, 0, 100).fill_(2);
  const auto [expected_low, expected_high] = least_error_range(x, options, counts);
  EXPECT_NEAR(low.item<float>(), expected_low.item<float>(), 1e-5);
  EXPECT_NEAR(high.item<float>(), expected_high.item<float>(), 1e-5);
}

// However the values come, the bins hold what a histogram of all of them holds.
TEST(HistogramRange, CountsAllThatCame) {
  const FakeQuantizeOptions options = observing(Observer::kHistogram);
  const at::Tensor histogram = at::zeros({kHistogramState}, at::kDouble);
  const at::Tensor first = observed_values(3000) * 0.1, second = observed_values(5000, 5),
                   third = first * 0.01;
  for (const at::Tensor& x : {first, second, third}) histogram_range(x, histogram, options);
  const at::Tensor all = at::cat({first, second, third});
  const double k = histogram[kHistogramBins].item<double>() - 1000;
  const double limit = std::exp2(k);
  EXPECT_LT(all.abs().max().item<double>(), limit);
  EXPECT_GE(all.abs().max().item<double>(), limit / 2);
  const at::Tensor expected = at::histc(all.to(at::kDouble), kHistogramBins, -limit, limit);
  EXPECT_TRUE(at::equal(histogram.slice(0, 0, kHistogramBins), expected));
}

TEST(HistogramRange, GivesTheRangeOfLeastError) {
  const FakeQuantizeOptions options = observing(Observer::kHistogram);
  const at::Tensor histogram = at::zeros({kHistogramState}, at::kDouble);
  const at::Tensor x = observed_values(16000);
  histogram_range(x.slice(0, 0, 8000), histogram, options);
  const auto [low, high] = histogram_range(x.slice(0, 8000), histogram, options);
  const auto [expected_low, expected_high] = least_error_range(x, options);
  EXPECT_LT(error_of(x, low.item<float>(), high.item<float>(), options),
            1.02 * error_of(x, expected_low.item<float>(), expected_high.item<float>(), options));
}

TEST(Observe, ClipsOutliers) {
  const at::Tensor x = at::cat({observed_values(10000), at::tensor({30.F})});
  for (const Observer observer : {Observer::kPercentile, Observer::kMse, Observer::kHistogram}) {
    FakeQuantizeOptions options = observing(observer);
    options.percentile = 99.9;
    const FakeQuantizeState state = unseen();
    observe(x, state, options);
    EXPECT_LT(state.running_max.item<float>(), 20);
    EXPECT_GT(state.running_max.item<float>(), 2);
    const auto [scale, zero] = choose_qparams(state.running_min, state.running_max, 0, 15, false);
    EXPECT_TRUE(at::equal(state.scale, scale));
    EXPECT_TRUE(at::equal(state.zero_point, zero));
    const at::Tensor before = state.running_max.clone();
    observe(at::full({5}, NAN), state, options);
    observe(at::tensor({1.F, kEndless}), state, options);
    EXPECT_TRUE(at::equal(state.running_max, before));
  }
}

TEST(Observe, LooksEveryFewRuns) {
  const FakeQuantizeState state = unseen();
  const at::Tensor flags = at::tensor({1, 1, 0}, at::kLong);
  std::vector<float> seen;
  for (int run = 0; run < 7; ++run) {
    run_op(
        "y = mc.FakeQuantize <quant_min = 0, quant_max = 15, symmetric = 0, observer = \"histogram\","
        " observe_every = 3> (x, s, z, low, high, f, h)",
        {at::full({2}, static_cast<float>(1 << run)), state.scale, state.zero_point, state.running_min,
         state.running_max, flags, state.histogram},
        21, true);
    seen.push_back(state.histogram.slice(0, 0, kHistogramBins).sum().item<float>());
  }
  EXPECT_EQ(seen, (std::vector<float>{2, 2, 2, 4, 4, 4, 6}));
}

TEST(Observe, RefusesChannelsAndMissingHistograms) {
  FakeQuantizeState state = unseen();
  state.histogram.reset();
  EXPECT_THROW(observe(observed_values(5), state, observing(Observer::kHistogram)), Error);
  FakeQuantizeOptions channels = observing(Observer::kMse);
  channels.axis = 0;
  EXPECT_THROW(observe(observed_values(1), unseen(), channels), Error);
  state.histogram = at::zeros({5}, at::kDouble);
  EXPECT_THROW(observe(observed_values(5), state, observing(Observer::kHistogram)), Error);
}

}  // namespace
}  // namespace mc::testing
