#include "mc/search/latency.h"

#include <map>

#include "mc/quantize/calibrate.h"

#include "tests/search/search_testing.h"

namespace mc {
namespace {

TEST(Latency, DecidesByWhatItMeasured) {
  const testing::SearchFiles files;
  LatencyOptions latency;
  latency.engine = "torch";
  latency.seconds = 0.05;
  const LatencyResult result = choose_by_latency(
      files.model, {},
      [&](const QuantizeOptions& options) {
        return quantize_ptq(testing::uneven_net(), files.samples, {}, options).model;
      },
      files.folder.path(), latency);
  ASSERT_GE(result.choices.size(), 2U);  // of Conv, 1x1 Conv, Gemm, first; not the last that is not float
  std::vector<std::string> expected;
  for (const LatencyChoice& choice : result.choices) {
    EXPECT_GT(choice.integer_ms, 0);
    EXPECT_EQ(choice.kept_float, choice.float_ms < choice.integer_ms * (1 - latency.gain)) << choice.kind;
    if (choice.kept_float) expected.insert(expected.end(), choice.nodes.begin(), choice.nodes.end());
  }
  EXPECT_EQ(result.options.keep_float, expected);
  EXPECT_EQ(result.pays, result.quantized_ms <= result.float_ms * (1 + latency.slack));
  EXPECT_FALSE(std::filesystem::exists(files.folder / "current.onnx"));
}

TEST(Latency, KindsAreThoseOfTheKernels) {
  const testing::SearchFiles files;
  LatencyOptions latency;
  latency.engine = "torch";
  latency.seconds = 0.01;
  latency.gain = 1;  // nothing is ever that much faster: all stays quantized
  const LatencyResult result = choose_by_latency(
      files.model, {},
      [&](const QuantizeOptions& options) {
        return quantize_ptq(testing::uneven_net(), files.samples, {}, options).model;
      },
      files.folder.path(), latency);
  EXPECT_TRUE(result.options.keep_float.empty());
  std::map<std::string, size_t> kinds;
  for (const LatencyChoice& choice : result.choices) kinds[choice.kind] = choice.nodes.size();
  EXPECT_EQ(kinds,
            (std::map<std::string, size_t>{{"1x1 Conv", 1}, {"Conv", 2}, {"Gemm", 1}, {"first 1 layer", 1}}));
}

}  // namespace
}  // namespace mc
