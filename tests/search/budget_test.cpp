#include "mc/search/budget.h"

#include <cmath>

#include "mc/quantize/calibrate.h"
#include "tests/search/search_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using testing::SearchFiles;
using ::testing::ThrowsMessage;

BudgetJob job_for(const SearchFiles& files, Budget budget) {
  BudgetJob job;
  job.model = files.model;
  job.folder = files.folder.path();
  job.calibration = files.samples;
  job.budget = budget;
  job.engine = "torch";
  return job;
}

double multiplications(const std::string& node) {
  if (node == "first") return 8.0 * 8 * 8 * 3 * 9;
  if (node == "middle") return 8.0 * 8 * 8 * 8;
  return node == "last" ? 8.0 * 8 * 8 * 8 * 9 : 4.0 * 8;
}

TEST(Budget, ReadsAmounts) {
  using Kind = Budget::Kind;
  EXPECT_TRUE(parse_budget(Kind::kSize, "0.25x").relative);
  EXPECT_EQ(parse_budget(Kind::kSize, "0.25x").limit, 0.25);
  EXPECT_EQ(parse_budget(Kind::kSize, "1500").limit, 1500);
  EXPECT_EQ(parse_budget(Kind::kSize, "1.5M").limit, 1.5e6);
  EXPECT_EQ(parse_budget(Kind::kBops, "40G").limit, 40e9);
  EXPECT_EQ(parse_budget(Kind::kLatency, "2.5").limit, 2.5);
  for (const char* wrong : {"", "x", "-1", "0", "1.5Q", "1.5MB", "nan", "inf", "0x"}) {
    EXPECT_THROW(parse_budget(Kind::kSize, wrong), Error) << wrong;
  }
  EXPECT_THROW(parse_budget(Kind::kLatency, "1k"), Error);
}

TEST(Budget, OfBitOperationsCountsThem) {
  const SearchFiles files;
  double all = 0;
  for (const char* node : {"first", "middle", "last", "fc"}) all += multiplications(node);
  double snr = 1e9;
  for (const double part : {0.2, 0.06, 0.04, 0.02}) {
    const BudgetResult result = choose_by_budget(job_for(files, {Budget::Kind::kBops, part, true}));
    EXPECT_DOUBLE_EQ(result.float_cost, all * 32 * 32);
    double cost = 0;
    for (const BitChoice& layer : result.layers) {
      const double activation = layer.bits == 32 ? 32 : 8;
      cost += multiplications(layer.node) * static_cast<double>(layer.bits) * activation;
    }
    EXPECT_DOUBLE_EQ(result.cost, cost);
    EXPECT_LE(cost, part * result.float_cost);
    EXPECT_LE(result.expected_snr_db, snr);  // a smaller budget keeps less
    snr = result.expected_snr_db;
  }
}

TEST(Budget, OptionsQuantizeAsWasChosen) {
  const SearchFiles files;
  const BudgetResult result = choose_by_budget(job_for(files, {Budget::Kind::kBops, 0.05, true}));
  const Model quantized = quantize_ptq(testing::uneven_net(), files.samples, {}, result.options).model;
  int64_t narrow = 0;
  for (const BitChoice& layer : result.layers) {
    const Initializer* weight = quantized.graph.initializer(layer.node + ".weight_int8");
    ASSERT_EQ(weight != nullptr, layer.bits != kFloatBits) << layer.node;
    if (!weight) continue;
    double largest = 0;
    for (const double level : weight->tensor.as_doubles()) largest = std::max(largest, std::abs(level));
    EXPECT_LE(largest, std::pow(2, layer.bits - 1) - 1) << layer.node;
    EXPECT_GT(largest, std::pow(2, layer.bits - 2) - 1) << layer.node;
    narrow += layer.bits < 8;
  }
  EXPECT_GT(narrow, 0);
}

TEST(Budget, OfTimeIsMeasured) {
  const SearchFiles files;
  // So much that any model is faster: everything but one layer may stay float, and the float model is
  // refused.
  EXPECT_THAT([&] { choose_by_budget(job_for(files, {Budget::Kind::kLatency, 1e6, false})); },
              ThrowsMessage<Error>(HasSubstr("meets the latency budget already")));
  EXPECT_THAT([&] { choose_by_budget(job_for(files, {Budget::Kind::kLatency, 1e-6, false})); },
              ThrowsMessage<Error>(HasSubstr("cannot be met: with every layer quantized")));
}

TEST(Budget, SaysWhatCannotBeMet) {
  const SearchFiles files;
  EXPECT_THAT([&] { choose_by_budget(job_for(files, {Budget::Kind::kSize, 10, false})); },
              ThrowsMessage<Error>(HasSubstr("cannot be met: with all layers as small as they get")));
  EXPECT_THAT([&] { choose_by_budget(job_for(files, {Budget::Kind::kBops, 1, true})); },
              ThrowsMessage<Error>(HasSubstr("meets the bops budget already")));
}

}  // namespace
}  // namespace mc
