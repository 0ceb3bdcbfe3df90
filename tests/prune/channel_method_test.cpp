#include "mc/prune/channel_method.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/data/dataset.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/group_scores.h"
#include "mc/train/optimizer.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

constexpr const char* kChannelNet = R"(
  <ir_version: 8, opset_import: ["" : 17]>
  net (float[N,6] x) => (float[N,3] y)
  {
    h = Gemm <transB = 1> (x, "fc1.weight", "fc1.bias")
    a = Relu (h)
    g = Gemm <transB = 1> (a, "fc2.weight", "fc2.bias")
    b = Relu (g)
    y = Gemm <transB = 1> (b, "fc3.weight", "fc3.bias")
  })";

Tensor channel_floats(std::vector<int64_t> dims, uint64_t seed) {
  at::manual_seed(seed);
  return to_constant(at::randn(dims));
}

// 6 -> 16 -> 8 -> 3.
Model channel_net() {
  Model model = parse_model(kChannelNet);
  const std::vector<int64_t> widths = {6, 16, 8, 3};
  for (int64_t i = 1; i < 4; ++i) {
    const std::string name = "fc" + std::to_string(i);
    model.graph.add_initializer(name + ".weight", channel_floats({widths[i], widths[i - 1]}, i));
    model.graph.add_initializer(name + ".bias", channel_floats({widths[i]}, 10 + i));
  }
  return model;
}

double net_macs(int64_t first, int64_t second) {
  return static_cast<double>(6 * first + first * second + second * 3);
}

// A stage without its loop: the calls that the loop makes of a method.
class ChannelStage {
 public:
  ChannelStage(Model model, ChannelMethodPlan plan, int64_t steps)
      : module_(std::move(model)),
        optimizer_(make_optimizer(SgdOptions{}, module_)),
        method_(make_channel_method(plan)),
        steps_(steps) {}

  void begin(bool resumed = false) {
    Loader loader(random_dataset(8, {{"x", at::kFloat, {6}}}, 0), {});
    StageContext context{module_, loader, 1, steps_, 3};
    method_->begin(context, resumed);
  }

  void step(int64_t step) {
    const Batch batch;
    StepContext context{module_, batch, step, steps_, 0, 0.01, {}, {}};
    at::manual_seed(100 + step);
    module_.forward(at::randn({8, 6})).square().mean().backward();
    method_->after_backward(context);
    optimizer_->step(0.01);
    method_->after_step(context);
    optimizer_->zero_grad();
  }

  void run() {
    begin();
    for (int64_t i = 0; i < steps_; ++i) step(i);
  }

  int64_t width(const std::string& weight) const { return module_.tensor(weight).size(0); }
  GraphModule& module() { return module_; }
  Method& method() { return *method_; }
  Optimizer& optimizer() { return *optimizer_; }

 private:
  GraphModule module_;
  std::unique_ptr<Optimizer> optimizer_;
  std::shared_ptr<Method> method_;
  int64_t steps_;
};

ChannelMethodPlan channel_plan(const std::string& method, double share) {
  ChannelMethodPlan plan;
  plan.method = method;
  plan.options.macs = share;
  plan.options.round_to = 1;
  plan.options.cuts = 3;
  plan.end = 0.5;
  return plan;
}

TEST(ChannelMethod, CutsInStepsToTheTarget) {
  ChannelStage stage(channel_net(), channel_plan("channels_l1", 0.5), 20);
  stage.begin();
  std::vector<double> left;
  for (int64_t i = 0; i < 20; ++i) {
    stage.step(i);
    const double now = net_macs(stage.width("fc1.weight"), stage.width("fc2.weight"));
    if (left.empty() || now != left.back()) left.push_back(now);
  }
  // Three cuts, at steps 0, 5 and 10: 1 - 0.5 (1 - (2/3)^3), 1 - 0.5 (1 - (1/3)^3), 0.5.
  ASSERT_EQ(left.size(), 3u);
  const double whole = net_macs(16, 8);
  EXPECT_LE(left[0], whole * (1 - 0.5 * (1 - 8.0 / 27)));
  EXPECT_LE(left[1], whole * (1 - 0.5 * (1 - 1.0 / 27)));
  EXPECT_LE(left[2], whole * 0.5);
  EXPECT_GT(left[2], whole * 0.35);
  EXPECT_EQ(model_macs(stage.module().graph()), left[2]);
  EXPECT_EQ(stage.method().figures().at("cuts"), 3);
}

TEST(ChannelMethod, GradientsAreWaitedFor) {
  ChannelStage stage(channel_net(), channel_plan("channels_taylor", 0.5), 40);
  stage.begin();
  for (int64_t i = 0; i < 15; ++i) stage.step(i);
  EXPECT_EQ(stage.width("fc1.weight"), 16);
  for (int64_t i = 15; i < 40; ++i) stage.step(i);
  EXPECT_LE(net_macs(stage.width("fc1.weight"), stage.width("fc2.weight")), 0.5 * net_macs(16, 8));
}

TEST(ChannelMethod, OtherTargetsAndBounds) {
  ChannelMethodPlan plan = channel_plan("channels_l2", 0.5);
  plan.options.macs.reset();
  plan.options.parameters = 0.6;
  plan.options.round_to = 4;
  plan.ignore = {"fc2*"};
  ChannelStage stage(channel_net(), plan, 10);
  stage.run();
  EXPECT_EQ(stage.width("fc2.weight"), 8);
  EXPECT_EQ(stage.width("fc1.weight"), 8);  // 110 of 275 parameters must go, 15 with each channel
  plan.options.parameters.reset();
  plan.options.channel_ratio = 0.25;
  plan.options.round_to = 1;
  plan.ignore = {};
  ChannelStage ratio(channel_net(), plan, 10);
  ratio.run();
  EXPECT_EQ(ratio.width("fc1.weight") + ratio.width("fc2.weight"), 18);  // of 24
}

TEST(ChannelMethod, GoesOnFromACheckpoint) {
  ChannelStage whole(channel_net(), channel_plan("channels_taylor", 0.5), 40);
  whole.begin();
  for (int64_t i = 0; i < 25; ++i) whole.step(i);
  ChannelStage resumed(whole.module().graph(), channel_plan("channels_taylor", 0.5), 40);
  std::map<std::string, at::Tensor> saved;
  for (const auto& [name, tensor] : whole.method().save()) saved[name] = tensor.clone();
  resumed.begin(/*resumed=*/true);
  resumed.method().load(saved);
  resumed.optimizer().load(whole.optimizer().save());
  EXPECT_EQ(resumed.method().figures(), whole.method().figures());
  for (int64_t i = 25; i < 40; ++i) {
    whole.step(i);
    resumed.step(i);
  }
  EXPECT_EQ(whole.width("fc1.weight"), resumed.width("fc1.weight"));
  EXPECT_EQ(whole.width("fc2.weight"), resumed.width("fc2.weight"));
  EXPECT_LE(net_macs(whole.width("fc1.weight"), whole.width("fc2.weight")), 0.5 * net_macs(16, 8));
}

// The penalty's gradient is weight / norm of its channel, over weight and bias together.
TEST(ChannelMethod, GroupLassoPullsAtNorms) {
  ChannelMethodPlan plan = channel_plan("channels_l2", 0.5);
  plan.options.group_lasso = 0.25;
  plan.begin = plan.end = 0.9;
  ChannelStage stage(channel_net(), plan, 10);
  stage.begin();
  GraphModule& module = stage.module();
  const at::Tensor weight = module.tensor("fc1.weight"), bias = module.tensor("fc1.bias");
  const Batch batch;
  StepContext context{module, batch, 0, 10, 0, 0.01, {}, {}};
  module.forward(at::ones({2, 6})).sum().backward();
  const at::Tensor before = weight.grad().clone(), bias_before = bias.grad().clone();
  stage.method().after_backward(context);
  const at::Tensor value = weight.detach();
  const at::Tensor norm = value.square().sum(1).sqrt();
  EXPECT_TRUE(at::allclose(weight.grad() - before, 0.25 * value / norm.unsqueeze(1), 1e-4, 1e-5));
  EXPECT_TRUE(at::equal(bias.grad(), bias_before));  // the paper's groups are filters
  // What the outputs need whole is not pulled at.
  EXPECT_TRUE(at::allclose(module.tensor("fc3.bias").grad(), at::full({3}, 2.0F)));
}

std::string channel_refusal(const ChannelMethodPlan& plan) {
  try {
    ChannelStage(channel_net(), plan, 10).begin();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ChannelMethod, BadInput) {
  ChannelMethodPlan plan = channel_plan("channels_l1", 0.5);
  plan.options.parameters = 0.5;
  EXPECT_THAT(channel_refusal(plan), HasSubstr("one of macs, parameters, channel_ratio and speedup"));
  EXPECT_THAT(channel_refusal(channel_plan("channels_l1", 0.001)), HasSubstr("cannot be reached"));
  EXPECT_THAT(channel_refusal(channel_plan("channels_l0", 0.5)), HasSubstr("unknown importance"));
  plan = channel_plan("channels_l1", 0.5);
  plan.begin = 0.8;
  EXPECT_THAT(channel_refusal(plan), HasSubstr("before begin"));
  plan = channel_plan("channels_l1", 0.5);
  plan.ignore = {"nothing"};
  EXPECT_THAT(channel_refusal(plan), HasSubstr("no node and no parameter matches 'nothing'"));
}

// A group's score is the mean over its producers of their scores by their own mean.
TEST(GroupScores, MeanOverProducersAfterNormalization) {
  const Model model = channel_net();
  const std::vector<ChannelGroup> groups = channel_groups(model);
  const GroupScorer scorer(find_importance("channels_l1"), model, groups);
  GraphModule module(model);
  const auto scores = scorer.scores([&](const std::string& name) { return module.tensor(name); });
  ASSERT_EQ(scores.size(), groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].name != "fc1.weight") continue;
    const at::Tensor sums = module.tensor("fc1.weight").detach().abs().sum(1);
    const at::Tensor got = at::tensor(scores[i]);
    EXPECT_TRUE(at::allclose(got, sums / sums.mean()));
  }
  EXPECT_THROW(
      GroupScorer(find_importance("channels_taylor"), model, groups).scores([&](const std::string& name) {
        return module.tensor(name);
      }),
      Error);
}

TEST(ChannelTarget, TheFewestChannelsThatReachIt) {
  const Model model = channel_net();
  const std::vector<ChannelGroup> groups = channel_groups(model);
  ChoiceOptions options;
  ChannelChoice choice{model, groups, channel_bounds(model, groups, options), {}, true};
  for (const ChannelGroup& group : groups) {
    std::vector<float> scores;
    for (int64_t c = 0; group.obstacle.empty() && c < group.channels; ++c)
      scores.push_back(static_cast<float>(c));
    choice.scores.push_back(scores);
  }
  const double whole = model_macs(model);
  EXPECT_EQ(whole, net_macs(16, 8));
  EXPECT_TRUE(plan_channels(choice, model_macs, whole, "MACs").cuts.empty());
  const ChannelPlan plan = plan_channels(choice, model_macs, 0.6 * whole, "MACs");
  EXPECT_LE(plan.cost, 0.6 * whole);
  EXPECT_GT(model_macs(cut_channels(model, choice.cuts(plan.count - 1))), 0.6 * whole);
  EXPECT_EQ(model_parameters(model), net_macs(16, 8) + 16 + 8 + 3);
  EXPECT_THROW(plan_channels(choice, model_macs, 1, "MACs"), Error);
  EXPECT_THROW(plan_ratio(choice, 0.95), Error);
  EXPECT_EQ(plan_ratio(choice, 0.25).count, 6);
}

}  // namespace
}  // namespace mc
