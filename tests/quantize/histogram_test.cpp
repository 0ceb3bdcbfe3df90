#include "mc/quantize/histogram.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

// Bin by bin in double arithmetic, over the histogram's own range.
std::vector<int64_t> plain_counts(const at::Tensor& x, const Histogram& histogram) {
  std::vector<int64_t> counts(Histogram::kBins);
  const at::Tensor flat = x.to(at::kDouble).contiguous().flatten();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const double place = std::floor(flat.const_data_ptr<double>()[i] / histogram.width());
    ++counts.at(static_cast<size_t>(place) + Histogram::kBins / 2);
  }
  return counts;
}

void expect_plain(const at::Tensor& x, const Histogram& histogram) {
  EXPECT_EQ(histogram.counts(), plain_counts(x, histogram));
  EXPECT_EQ(histogram.count(), x.numel());
  EXPECT_EQ(histogram.min(), x.min().item<float>());
  EXPECT_EQ(histogram.max(), x.max().item<float>());
  EXPECT_EQ(histogram.zeros(), x.eq(0).sum().item<int64_t>());
}

std::string complaint_of(const at::Tensor& x) {
  Histogram histogram;
  try {
    histogram.add(x);
  } catch (const Error& error) {
    EXPECT_TRUE(histogram.empty());
    return error.what();
  }
  return "nothing";
}

TEST(Histogram, CountsAsAPlainLoopDoes) {
  at::manual_seed(1);
  // Sizes around the block, the unrolled loop and the grain of a thread.
  for (int64_t size : {1, 3, 64, 65, 4095, 4096, 4097, 300'001}) {
    Histogram histogram;
    const at::Tensor x = at::randn({size}) * 3;
    histogram.add(x);
    expect_plain(x, histogram);
  }
}

TEST(Histogram, DoublesItsRangeByMergingBins) {
  at::manual_seed(2);
  const std::vector<at::Tensor> batches = {at::randn({1000}) * 1e-3, at::randn({500}), at::randn({7}) * 1e4,
                                           at::full({1}, -3e38), at::zeros({20})};
  Histogram histogram;
  for (const at::Tensor& batch : batches) histogram.add(batch);
  expect_plain(at::cat(batches), histogram);
}

TEST(Histogram, DoesNotDependOnOrderOrThreads) {
  at::manual_seed(3);
  const at::Tensor x = at::relu(at::randn({400'000})) * at::logspace(-6, 6, 400'000);
  Histogram forward, backward, alone;
  forward.add(x);
  for (const at::Tensor& part : x.flip(0).split(1237)) backward.add(part);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  alone.add(x);
  at::set_num_threads(threads);
  EXPECT_EQ(forward.counts(), backward.counts());
  EXPECT_EQ(forward.counts(), alone.counts());
  EXPECT_EQ(forward.zeros(), backward.zeros());
}

TEST(Histogram, PutsEdgesIntoTheBinAbove) {
  Histogram histogram;
  const at::Tensor x = at::tensor({-1.0F, -0.5F, -0.0F, 0.0F, 0.5F, 1.0F, -1e-30F, 1e-30F, 2.0F});
  histogram.add(x);
  EXPECT_EQ(histogram.edge(0), -4);
  EXPECT_EQ(histogram.edge(Histogram::kBins), 4);
  expect_plain(x, histogram);
  EXPECT_EQ(histogram.counts()[Histogram::kBins / 2], 3);  // both zeros and 1e-30
}

TEST(Histogram, IsNoWiderThanItMustBe) {
  Histogram histogram;
  histogram.add(at::zeros({5000}));
  histogram.add(at::tensor({0.0F, 1e-5F, 2e-5F}));
  EXPECT_LE(histogram.edge(Histogram::kBins), 4e-5);
  EXPECT_EQ(histogram.counts()[Histogram::kMiddle], 5001);
}

TEST(Histogram, TakesAnyFloatingTypeAndLayout) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({2, 6, 5, 7});
  for (const at::Tensor& same :
       {x.contiguous(at::MemoryFormat::ChannelsLast), x.transpose(1, 3), x.slice(3, 0, 7, 2), x.to(at::kHalf),
        x.to(at::kBFloat16), x.to(at::kDouble)}) {
    Histogram histogram;
    histogram.add(same);
    expect_plain(same.to(at::kFloat), histogram);
  }
}

TEST(Histogram, HoldsConstantsZerosAndTheSmallest) {
  for (float value : {0.0F, 7.0F, -7.0F, 1e-38F, std::numeric_limits<float>::denorm_min()}) {
    Histogram histogram;
    histogram.add(at::full({100}, value));
    EXPECT_EQ(histogram.count(), 100);
    EXPECT_EQ(histogram.min(), value);
    EXPECT_EQ(histogram.max(), value);
    EXPECT_THAT(histogram.counts(), ::testing::Contains(100));
  }
  Histogram nothing;
  nothing.add(at::empty({0}));
  EXPECT_TRUE(nothing.empty());
}

TEST(Histogram, RefusesWhatIsNotFinite) {
  at::Tensor x = at::ones({100'000});
  x[99'999] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(complaint_of(x), HasSubstr("holds NaN"));
  x[99'999] = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(complaint_of(x), HasSubstr("holds infinity"));
  EXPECT_THAT(complaint_of(at::ones({3}, at::kLong)), HasSubstr("int64"));
  EXPECT_THROW(finite_extremes(x), Error);
}

TEST(Histogram, ExtremesAreThoseOfATen) {
  at::manual_seed(5);
  for (int64_t size : {1, 63, 64, 5000, 200'001}) {
    const at::Tensor x = at::randn({size});
    const Extremes extremes = finite_extremes(x);
    EXPECT_EQ(extremes.min, x.min().item<float>());
    EXPECT_EQ(extremes.max, x.max().item<float>());
  }
}

}  // namespace
}  // namespace mc
