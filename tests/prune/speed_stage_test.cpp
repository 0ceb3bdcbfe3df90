#include "mc/data/dataset.h"
#include "mc/prune/block_order.h"
#include "mc/prune/prune_stage.h"
#include "mc/train/optimizer.h"
#include "tests/base/error_of.h"
#include "tests/prune/prune_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using testing::random_model;

// Two residual blocks that are 12 wide inside: 6 * 12 * 2 each, and 6 * 3 of the head.
Model wide_blocks() {
  return random_model(
      R"(<ir_version: 8, opset_import: ["" : 18]>
net (float[N,6] x) => (float[N,3] y) {
  a = MatMul (x, up1)
  ra = Relu (a)
  b = MatMul (ra, down1)
  [one] s1 = Add (x, b)
  c = MatMul (s1, up2)
  rc = Relu (c)
  d = MatMul (rc, down2)
  [two] s2 = Add (s1, d)
  y = MatMul (s2, head)
})",
      {{"up1", {6, 12}}, {"down1", {12, 6}}, {"up2", {6, 12}}, {"down2", {12, 6}}, {"head", {6, 3}}});
}

constexpr double kBlock = 144, kHead = 18, kWhole = 2 * kBlock + kHead;

// An engine whose time is the MACs, which from its `slow_after`-th plan on takes twice as long.
class CountedSpeed : public SpeedMeter {
 public:
  explicit CountedSpeed(int slow_after) : left_(slow_after) {}
  double speed(const Model& model) override { return kWhole / model_macs(model); }
  ChannelPlan plan(const ChannelChoice& choice, double factor) override {
    MC_CHECK(left_-- > 0, "too slow today");
    return plan_channels(choice, model_macs, kWhole / factor, "MACs");
  }

 private:
  int left_;
};

MakeSpeedMeter counted(std::vector<std::string>* engines = nullptr, int slow_after = 1000) {
  return [=](const std::string& engine, int64_t batch) {
    if (engines) engines->push_back(fmt::format("{} {}", engine, batch));
    return std::make_unique<CountedSpeed>(slow_after);
  };
}

PruneOptions both(double speedup) {
  PruneOptions options;
  options.method = "channels_l2";
  options.end = 0.5;
  options.channels.speedup = speedup;
  options.channels.cuts = 2;
  options.channels.round_to = 1;
  return options;
}

// A stage of ten steps, without its loop.
Json run_stage_of(GraphModule& module, const PruneOptions& options, const MakeSpeedMeter& meter) {
  const auto method = make_prune_method(options, {}, meter);
  Loader loader(random_dataset(16, {{"x", at::kFloat, {6}}}, 0), {.batch_size = 4});
  StageContext context{module, loader, 1, 10, 3};
  method->begin(context, false);
  const auto optimizer = make_optimizer(SgdOptions{}, module);
  for (int64_t i = 0; i < 10; ++i) {
    const Batch batch;
    StepContext step{module, batch, i, 10, 0, 0.01, {}, {}};
    at::manual_seed(100 + i);
    module.forward(at::randn({8, 6})).square().mean().backward();
    method->after_backward(step);
    optimizer->step(1e-5);
    method->after_step(step);
    optimizer->zero_grad();
  }
  EXPECT_EQ(method->save().at("blocks_gone").item<int64_t>(), method->figures().value("blocks_gone", 0));
  return method->figures();
}

TEST(SpeedStage, ChannelsUntilItIsFast) {
  GraphModule module(wide_blocks());
  std::vector<std::string> engines;
  PruneOptions options = both(1.5);
  options.channels.engine = "openvino";
  options.channels.latency_batch = 32;
  const Json figures = run_stage_of(module, options, counted(&engines));
  EXPECT_THAT(engines, ::testing::ElementsAre("openvino 32"));
  EXPECT_LE(model_macs(module.graph()), kWhole / 1.5);
  EXPECT_GT(model_macs(module.graph()), kWhole / 1.5 - 24);  // one more channel than needed at most
  EXPECT_EQ(residual_blocks(module.graph()).size(), 2u);
  EXPECT_EQ(figures.at("cuts"), 2);
}

TEST(SpeedStage, BlocksHalfOfTheWayAndChannelsTheRest) {
  GraphModule module(wide_blocks());
  PruneOptions options = both(3);
  options.channels.blocks = "blocks_output";
  const Json figures = run_stage_of(module, options, counted());
  EXPECT_EQ(figures.at("blocks_gone"), 1);  // 1.89 x, of the 1.73 x that are half of the way
  EXPECT_LE(model_macs(module.graph()), kWhole / 3);
  EXPECT_GT(model_macs(module.graph()), kWhole / 3 - 12);
}

TEST(SpeedStage, PlannedMacsWhereTheLastMeasurementFails) {
  GraphModule module(wide_blocks());
  run_stage_of(module, both(1.5), counted(nullptr, /*slow_after=*/1));
  EXPECT_LE(model_macs(module.graph()), kWhole / 1.5);
}

TEST(SpeedStage, OtherTargetsWithBlocks) {
  GraphModule module(wide_blocks());
  PruneOptions options = both(1);
  options.channels.speedup.reset();
  options.channels.macs = 0.3;
  options.channels.blocks = "blocks_cosine";
  EXPECT_EQ(run_stage_of(module, options, {}).at("blocks_gone"), 1);
  EXPECT_LE(model_macs(module.graph()), 0.3 * kWhole);
  GraphModule other(wide_blocks());
  options.channels.macs.reset();
  options.channels.channel_ratio = 0.25;
  options.channels.block_ratio = 0.5;
  options.keep_dense = {"up1", "head"};  // the first block stays; the head is in none
  EXPECT_EQ(run_stage_of(other, options, {}).at("blocks_gone"), 1);
  EXPECT_TRUE(other.graph().graph.initializer("up1"));
  EXPECT_FALSE(other.graph().graph.initializer("up2"));
}

TEST(SpeedStage, BlocksAlone) {
  GraphModule module(wide_blocks());
  PruneOptions options;
  options.method = "blocks_output";
  options.channels.speedup = 1.8;
  const auto begin = [&](GraphModule& network) {
    const auto method = make_prune_method(options, {}, counted());
    Loader loader(random_dataset(16, {{"x", at::kFloat, {6}}}, 0), {.batch_size = 4});
    StageContext context{network, loader, 1, 10, 3};
    method->begin(context, false);
  };
  begin(module);
  EXPECT_EQ(model_macs(module.graph()), kBlock + kHead);
  options.channels.speedup = 18;
  GraphModule other(wide_blocks());
  EXPECT_THAT(error_of([&] { begin(other); }),
              HasSubstr("with all 2 residual blocks gone that may go, it is 17.00"));
  EXPECT_EQ(model_macs(other.graph()), kWhole) << "nothing goes where the target cannot be reached";
}

TEST(SpeedStage, BadInput) {
  const auto refusal = [](const PruneOptions& options, const MakeSpeedMeter& meter = counted()) {
    return error_of([&] { make_prune_method(options, {}, meter); });
  };
  EXPECT_THAT(refusal(both(2), {}), HasSubstr("nothing was given to measure a speed-up with"));
  PruneOptions options = both(2);
  options.channels.macs = 0.5;
  EXPECT_THAT(refusal(options), HasSubstr("one of macs, parameters, channel_ratio and speedup"));
  options = both(2);
  options.channels.block_ratio = 0.5;
  EXPECT_THAT(refusal(options), HasSubstr("block_ratio is for methods of blocks"));
  options.channels.blocks = "blocks_outputs";
  EXPECT_THAT(refusal(options), HasSubstr("did you mean 'blocks_output'"));
  options.channels.blocks = "blocks_output";
  options.channels.block_ratio.reset();
  options.channels.speedup.reset();
  options.channels.channel_ratio = 0.5;
  EXPECT_THAT(refusal(options), HasSubstr("give block_ratio too"));
}

}  // namespace
}  // namespace mc
