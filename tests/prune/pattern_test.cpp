#include "mc/prune/pattern.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/prune/engine_gains.h"

namespace mc {
namespace {

at::Tensor filled_weight(std::vector<int64_t> sizes) {
  at::manual_seed(7);
  return at::randn(sizes) + 10;
}

std::string pattern_of(const at::Tensor& weight, int64_t output = 0, int64_t input = 1) {
  return pattern_name(find_pattern(weight, output, input));
}

TEST(Pattern, DenseAndUnstructured) {
  at::Tensor weight = filled_weight({32, 64});
  EXPECT_EQ(pattern_of(weight), "dense");
  const at::Tensor random = at::rand({32, 64}) < 0.5;
  EXPECT_EQ(pattern_of(weight.masked_fill(random, 0)), "unstructured");
  // So sparse that no four neighbours hold more than two: still no 2:4.
  EXPECT_EQ(pattern_of(weight.masked_fill(at::rand({32, 64}) < 0.97, 0)), "unstructured");
}

TEST(Pattern, NOfM) {
  for (const auto& [n, m] : {std::pair<int64_t, int64_t>{2, 4}, {1, 4}, {4, 8}}) {
    // The n largest of m random numbers stay, along the inputs.
    const at::Tensor order = at::rand({16, 64 / m, m, 9}).argsort(false, 2).argsort(false, 2);
    const at::Tensor mask = order.ge(n).reshape({16, 64, 9});
    const at::Tensor weight = filled_weight({16, 64, 9}).masked_fill(mask, 0);
    const std::string name = std::to_string(n) + ":" + std::to_string(m);
    EXPECT_EQ(pattern_of(weight), name);
    EXPECT_EQ(pattern_of(weight.transpose(0, 1).contiguous(), 1, 0), name);
  }
}

TEST(Pattern, Blocks) {
  const at::Tensor coarse = at::rand({8, 8, 1}) < 0.6;  // outputs by inputs
  const at::Tensor mask = coarse.repeat_interleave(4, 0).repeat_interleave(8, 1);
  const at::Tensor weight = filled_weight({32, 64, 3}).masked_fill(mask, 0);
  EXPECT_EQ(pattern_of(weight), "block 8x4");
}

TEST(Pattern, Channels) {
  at::Tensor weight = filled_weight({8, 16});
  weight[3].zero_();
  weight[5].zero_();
  const SparsityPattern pattern = find_pattern(weight, 0, 1);
  EXPECT_EQ(pattern_name(pattern), "channels");
  EXPECT_EQ(pattern.zero_channels, 2);
  EXPECT_DOUBLE_EQ(pattern.sparsity, 0.25);
  EXPECT_EQ(pattern_of(at::zeros({4, 4})), "channels");
}

TEST(Pattern, BadAxes) {
  EXPECT_THROW(find_pattern(at::ones({4, 4}), 0, 2), Error);
  EXPECT_THROW(find_pattern(at::ones({4, 4}), 1, 1), Error);
}

bool faster_on(const std::vector<EngineGain>& gains, const std::string& engine) {
  for (const EngineGain& gain : gains) {
    if (gain.engine == engine) return gain.faster;
  }
  ADD_FAILURE() << engine;
  return false;
}

TEST(EngineGains, OnlyTheHardwaresPatternAndCuts) {
  using Kind = SparsityPattern::Kind;
  for (const char* engine : {"onnxruntime", "openvino", "torch", "tensorrt"}) {
    EXPECT_FALSE(faster_on(engine_gains({Kind::kUnstructured, 0.9, 0, 0, 0}), engine));
    EXPECT_TRUE(faster_on(engine_gains({Kind::kChannels, 0.5, 0, 0, 4}), engine));
    EXPECT_EQ(faster_on(engine_gains({Kind::kNToM, 0.5, 2, 4, 0}), engine),
              std::string(engine) == "tensorrt");
    EXPECT_FALSE(faster_on(engine_gains({Kind::kNToM, 0.5, 4, 8, 0}), engine));
  }
  EXPECT_TRUE(engine_gains({}).empty());
}

}  // namespace
}  // namespace mc
