#include "mc/quantize/calibrators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

constexpr QuantGrid kUnsigned8 = {0, 255, false};
constexpr QuantGrid kSigned8 = {-127, 127, true};
constexpr QuantGrid kSigned4 = {-7, 7, true};

ValueStatistics statistics_of(const std::vector<at::Tensor>& batches) {
  ValueStatistics statistics;
  for (const at::Tensor& batch : batches) statistics.add(batch, true, 0.01);
  return statistics;
}

ValueRange range_by(const std::string& calibrator, const at::Tensor& x, const QuantGrid& grid,
                    const CalibratorOptions& options = {}) {
  return find_calibrator(calibrator).range(statistics_of({x}), grid, options);
}

// The mean squared error of really quantizing x.
double measured_error(const at::Tensor& x, const QuantGrid& grid, const ValueRange& range) {
  const auto [scale, zero] =
      choose_qparams(at::full({1}, range.min, at::kFloat), at::full({1}, range.max, at::kFloat),
                     grid.quant_min, grid.quant_max, grid.symmetric);
  const at::Tensor level = at::clamp(at::round(x / scale) + zero, grid.quant_min, grid.quant_max);
  return ((level - zero) * scale - x).to(at::kDouble).square().mean().item<double>();
}

// Evenly spaced quantiles of a distribution: a sample without chance.
at::Tensor normal_quantiles(int64_t count) {
  const at::Tensor p = (at::arange(count, at::kDouble) + 0.5) / count;
  return (at::erfinv(2 * p - 1) * std::sqrt(2.0)).to(at::kFloat);
}

TEST(Calibrators, AreListedByName) {
  EXPECT_THAT(calibrator_names(),
              ::testing::ElementsAre("min_max", "moving_average", "percentile", "entropy", "mse"));
  try {
    find_calibrator("entropi");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("entropy"));
  }
}

TEST(MinMax, IsWhatWasSeen) {
  const ValueStatistics statistics = statistics_of({at::tensor({-1.0F, 2.0F}), at::tensor({0.5F, 3.5F})});
  const ValueRange range = find_calibrator("min_max").range(statistics, kUnsigned8, {});
  EXPECT_EQ(range.min, -1);
  EXPECT_EQ(range.max, 3.5);
}

TEST(MovingAverage, IsTheMeanOverBatchesAndThenMoves) {
  ValueStatistics statistics;
  const std::vector<double> highs = {1, 2, 6, 3};
  for (double high : highs) statistics.add(at::tensor({-high / 2, high}), false, 0.01);
  EXPECT_NEAR(statistics.average.max, 3, 1e-12);
  EXPECT_NEAR(statistics.average.min, -1.5, 1e-12);
  // From the second batch on, 0.5 is the weight of the newest.
  ValueStatistics fast;
  for (double high : highs) fast.add(at::tensor({0.0, high}), false, 0.5);
  EXPECT_NEAR(fast.average.max, ((1 + 2) / 2.0 + 6) / 4 + 1.5, 1e-12);
}

TEST(Percentile, IsThatOfNumbers) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({200'000});
  for (double percentile : {90.0, 99.0, 99.99}) {
    const ValueRange range = range_by("percentile", x, kUnsigned8, {percentile});
    const double width = 2 * 8.0 / Histogram::kBins;
    EXPECT_NEAR(range.max, x.quantile(percentile / 100).item<double>(), width) << percentile;
    EXPECT_NEAR(range.min, x.quantile(1 - percentile / 100).item<double>(), width) << percentile;
    const ValueRange both = range_by("percentile", x, kSigned8, {percentile});
    EXPECT_NEAR(both.max, x.abs().quantile(percentile / 100).item<double>(), width) << percentile;
    EXPECT_EQ(both.min, -both.max);
  }
}

TEST(Percentile, KeepsTheEndAtZero) {
  const at::Tensor x = at::arange(10'001, at::kFloat) / 10'000;
  const ValueRange range = range_by("percentile", x, kUnsigned8, {99});
  EXPECT_EQ(range.min, 0);
  EXPECT_NEAR(range.max, 0.99, 1e-3);
  EXPECT_EQ(range_by("percentile", x, kUnsigned8, {100}).max, 1);
  EXPECT_THROW(range_by("percentile", x, kUnsigned8, {30}), Error);
}

TEST(Mse, ClipsANormalDistributionWhereTheTheorySays) {
  // Banner et al. 2019, section 3: for a Gaussian 2.55 sigma at 4 bits and 3.92 sigma at 8 bits. They take
  // 2^M bins over the range; ours are 2^M - 1 levels, which moves the optimum a little: least error by brute
  // force over the same sample decides, the theory only roughly.
  const at::Tensor x = normal_quantiles(100'000);
  struct Case {
    QuantGrid grid;
    double theory;
  };
  for (const Case& c : {Case{kSigned4, 2.55}, Case{kSigned8, 3.92}}) {
    const ValueRange range = range_by("mse", x, c.grid);
    double best = std::numeric_limits<double>::infinity(), best_limit = 0;
    for (double limit = 2; limit < 5; limit += 0.04) {
      const double error = measured_error(x, c.grid, {-limit, limit});
      if (error < best) {
        best = error;
        best_limit = limit;
      }
    }
    EXPECT_NEAR(range.max, best_limit, 0.1) << c.theory;
    EXPECT_NEAR(range.max, c.theory, 0.25) << c.theory;
    EXPECT_LE(measured_error(x, c.grid, range), 1.005 * best) << c.theory;
  }
}

TEST(Mse, ExpectsTheErrorThatIsMeasured) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({300'000});
  Histogram histogram;
  histogram.add(x);
  for (const QuantGrid& grid : {kUnsigned8, kSigned8, kSigned4}) {
    for (const ValueRange& range :
         {ValueRange{-2, 3}, ValueRange{-5, 5}, ValueRange{-0.5, 1}, ValueRange{0, 0.7}}) {
      const double measured = measured_error(x, grid, range);
      EXPECT_NEAR(expected_squared_error(histogram, grid, range), measured, 0.03 * measured + 1e-7);
    }
  }
}

TEST(Mse, IsCloseToTheBestPairOfEnds) {
  at::manual_seed(3);
  // A long tail on one side only, as swish and GELU give.
  const at::Tensor x = at::silu(at::randn({20'000}).pow(3));
  const QuantGrid grid = {0, 15, false};
  const ValueRange range = range_by("mse", x, grid);
  double best = std::numeric_limits<double>::infinity();
  const double low = x.min().item<double>(), high = x.max().item<double>();
  for (int i = 0; i <= 4; ++i) {
    for (int j = 1; j <= 60; ++j)
      best = std::min(best, measured_error(x, grid, {low * i / 4, high * j / 60}));
  }
  EXPECT_LE(measured_error(x, grid, range), 1.02 * best);
}

TEST(Mse, KeepsAUniformDistributionWhole) {
  const at::Tensor x = (at::arange(100'000, at::kDouble) / 99'999).to(at::kFloat);
  const ValueRange range = range_by("mse", x, kUnsigned8);
  EXPECT_EQ(range.min, 0);
  EXPECT_NEAR(range.max, 1, 0.01);
}

// Kullback-Leibler divergence by the recipe of the slides, literally, over one window of the histogram.
double plain_divergence(std::vector<double> counts, size_t begin, size_t end, size_t levels) {
  std::vector<double> p(counts.begin() + begin, counts.begin() + end), q(p.size());
  for (size_t level = 0; level < levels; ++level) {
    const size_t from = level * p.size() / levels, to = (level + 1) * p.size() / levels;
    double sum = 0, filled = 0;
    for (size_t i = from; i < to; ++i) {
      sum += p[i];
      filled += p[i] > 0;
    }
    for (size_t i = from; i < to; ++i) q[i] = p[i] > 0 ? sum / filled : 0;
  }
  // Outliers fall upon the outermost bins that are not empty.
  const auto filled = [](double n) { return n > 0; };
  const auto first = std::find_if(p.begin(), p.end(), filled);
  if (first == p.end()) return std::numeric_limits<double>::infinity();
  const auto last = std::find_if(p.rbegin(), p.rend(), filled);
  for (size_t i = 0; i < begin; ++i) *first += counts[i];
  for (size_t i = end; i < counts.size(); ++i) *last += counts[i];
  double sum_p = 0, sum_q = 0, divergence = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    sum_p += p[i];
    sum_q += q[i];
  }
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    if (q[i] == 0) return std::numeric_limits<double>::infinity();
    divergence += p[i] / sum_p * std::log(p[i] / sum_p / (q[i] / sum_q));
  }
  return divergence;
}

TEST(Entropy, IsTheLeastDivergenceOfAllWindows) {
  at::manual_seed(4);
  const at::Tensor normal = at::randn({300'000});
  const at::Tensor tail = at::randn({100'000}).exp();
  struct Case {
    at::Tensor x;
    QuantGrid grid;
  };
  const at::Tensor outlier = at::cat({at::relu(normal), at::full({1}, 40.0F)});
  for (const Case& c : {Case{normal, kSigned8}, Case{tail, kUnsigned8}, Case{at::relu(normal), kUnsigned8},
                        Case{outlier, kUnsigned8}}) {
    const ValueStatistics statistics = statistics_of({c.x});
    const Histogram& histogram = statistics.histogram;
    const size_t middle = Histogram::kBins / 2;
    std::vector<double> counts(histogram.counts().begin(), histogram.counts().end());
    counts[middle] -= static_cast<double>(histogram.zeros());
    const auto first = static_cast<size_t>(
        std::find_if(counts.begin(), counts.end(), [](double n) { return n > 0; }) - counts.begin());
    const auto last = static_cast<size_t>(
        counts.rend() - std::find_if(counts.rbegin(), counts.rend(), [](double n) { return n > 0; }));
    const size_t levels = static_cast<size_t>(c.grid.levels());
    const size_t widest = std::max(first < middle ? middle - first : 0, last - middle);
    double best = std::numeric_limits<double>::infinity();
    size_t best_limit = widest;
    for (size_t limit = widest; limit > 0; --limit) {
      const size_t begin =
          c.grid.symmetric ? middle - limit : std::max(middle - limit, std::min(first, middle));
      const size_t end = c.grid.symmetric ? middle + limit : std::min(middle + limit, last);
      if (end - begin < levels) break;
      const double divergence = plain_divergence(counts, begin, end, levels);
      if (divergence < best - 1e-12) {
        best = divergence;
        best_limit = limit;
      }
    }
    const ValueRange range = find_calibrator("entropy").range(statistics, c.grid, {});
    EXPECT_NEAR(range.max, std::min(static_cast<double>(best_limit) * histogram.width(), statistics.seen.max),
                1e-9);
    EXPECT_LE(range.max, statistics.seen.max);
    EXPECT_GE(range.min, statistics.seen.min);
  }
}

TEST(Entropy, ClipsAFarOutlier) {
  at::manual_seed(5);
  const at::Tensor x = at::cat({at::relu(at::randn({100'000})), at::full({1}, 40.0F)});
  const ValueRange range = range_by("entropy", x, kUnsigned8);
  EXPECT_LT(range.max, 20);
  EXPECT_GT(range.max, 2);
}

TEST(Calibrators, KeepConstantsZerosAndSingleElements) {
  for (const Calibrator& calibrator : calibrators()) {
    for (const QuantGrid& grid : {kUnsigned8, kSigned8}) {
      for (float value : {0.0F, 3.0F, -3.0F, 1e-20F}) {
        for (int64_t count : {1, 1000}) {
          const ValueRange range = range_by(calibrator.name, at::full({count}, value), grid);
          const auto [scale, zero] =
              choose_qparams(at::full({1}, range.min, at::kFloat), at::full({1}, range.max, at::kFloat),
                             grid.quant_min, grid.quant_max, grid.symmetric);
          EXPECT_GE(scale.item<float>(), std::numeric_limits<float>::epsilon());
          EXPECT_LE(measured_error(at::full({count}, value), grid, range), 1e-10)
              << calibrator.name << " " << value << " x " << count;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mc
