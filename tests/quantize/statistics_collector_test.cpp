#include "mc/quantize/statistics_collector.h"

#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/quantize/element_scan.h"

namespace mc {
namespace {

const StatisticsCollector::Batch kFirst = {.index = 0, .first = 0, .samples = 1};

TEST(ElementScan, CountsOneBlockForAllOfItsTurn) {
  constexpr int64_t kBlock = ElementScan::kBlock;
  at::manual_seed(1);
  at::Tensor x = at::rand({9 * kBlock + 10});
  x[0] = -5;                // in a block that is not counted
  x[4 * kBlock + 1] = 0.F;  // in one that is
  Histogram histogram;
  ElementScan elements(&histogram, 4, 6);  // 6 leaves 2
  look_at(x, elements);
  const Extremes extremes = elements.finish();
  EXPECT_EQ(extremes.min, -5);
  EXPECT_EQ(extremes.max, x.max().item<float>());
  EXPECT_EQ(histogram.min(), -5);
  EXPECT_EQ(histogram.count(), 4 * 2 * kBlock);  // blocks 2 and 6
  Histogram plain;
  plain.add(at::cat({x.narrow(0, 2 * kBlock, kBlock), x.narrow(0, 6 * kBlock, kBlock)}));
  // The counts of the plain one, each for 4, over a range that has room for -5.
  ASSERT_EQ(histogram.width(), 8 * plain.width());
  std::vector<int64_t> expected(Histogram::kBins);
  for (int64_t bin = 0; bin < Histogram::kBins; ++bin) {
    const int64_t distance = bin - Histogram::kMiddle;
    const int64_t wide = distance >= 0 ? distance / 8 : -((-distance + 7) / 8);
    expected[wide + Histogram::kMiddle] += 4 * plain.counts()[bin];
  }
  EXPECT_EQ(histogram.counts(), expected);
}

TEST(ElementScan, ComplainsOfBlocksThatAreNotCounted) {
  at::Tensor x = at::zeros({3 * ElementScan::kBlock});
  x[5] = NAN;
  Histogram histogram;
  ElementScan elements(&histogram, 3, 1);
  look_at(x, elements);
  EXPECT_THROW(elements.finish(), Error);
  EXPECT_TRUE(histogram.empty());
}

// Of a value with many elements some are left out; quantiles stay where they are.
TEST(StatisticsCollector, CountsEnoughOfLargeValues) {
  ActivationStatistics statistics;
  statistics.values["v"];
  const CollectOptions options;
  StatisticsCollector collector(statistics, options);
  at::manual_seed(2);
  std::vector<at::Tensor> all;
  constexpr int64_t kElements = int64_t{1} << 20;
  for (int64_t i = 0; i < 4; ++i) {
    all.push_back(at::randn({kElements}));
    StatisticsCollector::Batch batch = {.index = i, .first = i, .samples = 1};
    collector.add(batch, "v", all.back());
    collector.finish(std::move(batch));
  }
  const at::Tensor x = std::get<0>(at::cat(all).sort());
  const Histogram& histogram = statistics.values["v"].histogram;
  EXPECT_EQ(statistics.samples, 4);
  EXPECT_EQ(histogram.max(), x[-1].item<float>());
  EXPECT_EQ(histogram.count(), 4 * kElements);
  for (const double quantile : {0.001, 0.1, 0.5, 0.9, 0.999}) {
    const double value = x[static_cast<int64_t>(quantile * 4 * kElements)].item<double>();
    int64_t below = 0;
    for (int64_t bin = 0; histogram.edge(bin + 1) <= value; ++bin) below += histogram.counts()[bin];
    EXPECT_NEAR(static_cast<double>(below) / (4 * kElements), quantile, 0.003) << quantile;
  }
}

// Batches may end in another order; the average weighs them in that of their numbers.
TEST(StatisticsCollector, DoesNotDependOnWhichBatchEndsFirst) {
  at::manual_seed(3);
  std::vector<at::Tensor> values;
  for (int i = 0; i < 3; ++i) values.push_back(at::randn({50}) * (i + 1));
  const auto collected = [&](const std::vector<int64_t>& order) {
    ActivationStatistics statistics;
    statistics.values["v"];
    const CollectOptions options{.averaging = 0.5};
    StatisticsCollector collector(statistics, options);
    for (const int64_t i : order) {
      StatisticsCollector::Batch batch = {.index = i, .first = i, .samples = 1};
      collector.add(batch, "v", values[i]);
      collector.finish(std::move(batch));
    }
    EXPECT_EQ(statistics.samples, 3);
    return std::move(statistics.values["v"]);
  };
  const ValueStatistics expected = collected({0, 1, 2});
  for (const std::vector<int64_t>& order : {std::vector<int64_t>{2, 0, 1}, {1, 2, 0}, {2, 1, 0}}) {
    const ValueStatistics seen = collected(order);
    EXPECT_EQ(seen.average.min, expected.average.min);
    EXPECT_EQ(seen.average.max, expected.average.max);
    EXPECT_EQ(seen.histogram.counts(), expected.histogram.counts());
  }
}

TEST(StatisticsCollector, SeesATermAndItsSum) {
  ActivationStatistics statistics;
  statistics.values["term"], statistics.values["sum"];
  const CollectOptions options;
  StatisticsCollector collector(statistics, options);
  at::manual_seed(4);
  const at::Tensor term = at::randn({3, 5000}), sum = (term + 1).relu();
  at::Tensor elements = term.clone();
  auto* data = elements.mutable_data_ptr<float>();
  const auto compute = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) data[i] = std::max(data[i] + 1, 0.F);
  };
  StatisticsCollector::Batch batch = kFirst;
  std::string value;
  collector.add_sum(batch, "term", "sum", elements, compute, value);
  collector.finish(std::move(batch));
  EXPECT_TRUE(elements.equal(sum));
  for (const auto& [name, x] : {std::pair{"term", term}, {"sum", sum}}) {
    Histogram plain;
    plain.add(x);
    EXPECT_EQ(statistics.values[name].histogram.counts(), plain.counts()) << name;
    EXPECT_EQ(statistics.values[name].average.max, plain.max()) << name;
  }
}

TEST(StatisticsCollector, SaysWhichOfTheTwoIsWrong) {
  const auto blamed = [](float term, float addend) {
    ActivationStatistics statistics;
    statistics.values["term"], statistics.values["sum"];
    const CollectOptions options;
    StatisticsCollector collector(statistics, options);
    at::Tensor elements = at::full({4}, term);
    StatisticsCollector::Batch batch = kFirst;
    std::string value;
    const auto compute = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) elements.mutable_data_ptr<float>()[i] += addend;
    };
    EXPECT_THROW(collector.add_sum(batch, "term", "sum", elements, compute, value), Error);
    return value;
  };
  EXPECT_EQ(blamed(NAN, 1), "term");
  EXPECT_EQ(blamed(1, INFINITY), "sum");
}

}  // namespace
}  // namespace mc
