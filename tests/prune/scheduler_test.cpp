#include "mc/prune/scheduler.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/sgd.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
#include "mc/prune/custom_mask.h"
#include "mc/prune/sparsity.h"
#include "mc/prune/structure.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr const char* kNet = R"(
  <ir_version: 8, opset_import: ["" : 17]>
  net (float[N,4] x) => (float[N,3] y)
  <float[8,4] "fc1.weight" = {0.1,-0.2,0.3,-0.4, 0.5,-0.6,0.7,-0.8, 0.9,-1.0,1.1,-1.2, 1.3,-1.4,1.5,-1.6,
                            1.7,-1.8,1.9,-2.0, 2.1,-2.2,2.3,-2.4, 2.5,-2.6,2.7,-2.8, 2.9,-3.0,3.1,-3.2},
   float[8] "fc1.bias" = {1,2,3,4,5,6,7,8},
   float[3,8] "fc2.weight" = {1,2,3,4,5,6,7,8, 9,10,11,12,13,14,15,16, 17,18,19,20,21,22,23,24},
   float[3] "fc2.bias" = {0,0,0}>
  {
    h = Gemm <transB = 1> (x, "fc1.weight", "fc1.bias")
    a = Relu (h)
    y = Gemm <transB = 1> (a, "fc2.weight", "fc2.bias")
  })";

struct PlainNet : torch::nn::Module {
  torch::nn::Conv2d conv{torch::nn::Conv2dOptions(3, 8, 3)};
  torch::nn::Linear fc{8, 5};
  PlainNet() {
    register_module("conv", conv);
    register_module("fc", fc);
  }
};

struct EveryLayer : torch::nn::Module {
  torch::nn::Embedding table{20, 8};
  torch::nn::LSTM lstm{torch::nn::LSTMOptions(8, 6)};
  torch::nn::ConvTranspose2d up{torch::nn::ConvTranspose2dOptions(6, 4, 3)};
  torch::nn::Linear fc{6, 5};
  EveryLayer() {
    register_module("table", table);
    register_module("lstm", lstm);
    register_module("up", up);
    register_module("fc", fc);
  }
};

IterativePruningConfig steps(int64_t end, double target) {
  IterativePruningConfig config;
  config.pruning_frequency = 1;
  config.policy_end_step = end;
  config.pruning_fn_default_kwargs.target_sparsity = target;
  return config;
}

OneShotPruningConfig once(double target) {
  OneShotPruningConfig config;
  config.pruning_fn_default_kwargs.target_sparsity = target;
  return config;
}

void shake(torch::nn::Module& module, double size = 0.01) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& p : module.parameters()) p.add_(at::randn_like(p) * size);
}

template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// What model_compression_research documents of its iterative scheduler.
TEST(IterativePruning, PrunesInItsStepsByTheCubicPolicy) {
  at::manual_seed(1);
  torch::nn::Linear linear(10, 10);
  IterativePruningConfig config = steps(10, 0.8);
  config.policy_begin_step = config.begin_pruning_step = 5;
  config.end_pruning_step = 12;
  IterativePruningScheduler scheduler(*linear, config);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(scheduler.is_pruning_step());
    EXPECT_DOUBLE_EQ(scheduler.get_sparsity_schedule(), 0);
    scheduler.step();
    EXPECT_DOUBLE_EQ(get_tensor_sparsity_ratio(linear->weight), 0);
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(scheduler.is_pruning_step());
    const double way = 1 - std::pow(1 - i / 5.0, 3);
    EXPECT_NEAR(scheduler.get_sparsity_schedule(), way, 1e-12);
    scheduler.step();
    EXPECT_NEAR(get_tensor_sparsity_ratio(linear->weight), std::llround(100 * 0.8 * way) / 100.0, 1e-9);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(scheduler.is_pruning_step());
    scheduler.step();
  }
  EXPECT_FALSE(scheduler.is_pruning_step());
  EXPECT_NEAR(get_tensor_sparsity_ratio(linear->weight), 0.8, 1e-9);
}

TEST(IterativePruning, PlainModuleReachesItsTargetAndKeepsZerosWhileTraining) {
  at::manual_seed(1);
  PlainNet net;
  IterativePruningScheduler scheduler(net, steps(10, 0.75));
  double before = -1;
  for (int step = 0; step < 15; ++step) {
    shake(net);
    scheduler.step();
    EXPECT_GE(scheduler.sparsity(), before - 1e-9);
    before = scheduler.sparsity();
  }
  EXPECT_NEAR(scheduler.sparsity(), 0.75, 1e-9);
  EXPECT_EQ(scheduler.sparsity_by_parameter().size(), 2U);
  EXPECT_NEAR(scheduler.log().at("layers").at("conv.weight").get<double>(), 0.75, 1e-9);
  EXPECT_NEAR(scheduler.log().at("target_sparsity").get<double>(), 0.75, 1e-9);
  EXPECT_GT(net.conv->bias.abs().min().item<float>(), 0);
  scheduler.remove_pruning();
  EXPECT_NEAR(weight_sparsity(net).at("fc.weight"), 0.75, 1e-9);
  EXPECT_THROW(scheduler.step(), Error);
}

TEST(IterativePruning, TheTargetIsReachedWhateverTheFrequency) {
  PlainNet net;
  IterativePruningConfig config = steps(10, 0.5);
  config.pruning_frequency = 7;
  IterativePruningScheduler scheduler(net, config);
  for (int step = 0; step <= 10; ++step) scheduler.step();
  EXPECT_NEAR(scheduler.sparsity(), 0.5, 1e-9);
}

TEST(IterativePruning, InitialSparsityHoldsFromTheBeginning) {
  PlainNet net;
  IterativePruningConfig config = steps(10, 0.75);
  config.begin_pruning_step = 5;
  config.pruning_fn_default_kwargs.initial_sparsity = 0.25;
  IterativePruningScheduler scheduler(net, config);
  EXPECT_NEAR(scheduler.sparsity(), 0.25, 1e-9);
}

TEST(OneShotPruning, GraphModuleHoldsTheMasks) {
  GraphModule module(parse_model(kNet));
  OneShotPruningScheduler scheduler(module, once(0.5));
  EXPECT_THAT(module.masked(), UnorderedElementsAre("fc1.weight", "fc2.weight"));
  EXPECT_DOUBLE_EQ(scheduler.sparsity(), 0.5);
  const at::Tensor weight = module.tensor("fc2.weight");
  EXPECT_EQ(weight.eq(0).sum().item<int64_t>(), 12);
  EXPECT_EQ(weight[0].abs().max().item<float>(), 0);  // 1..8 are the smallest
  {
    const at::NoGradGuard no_grad;
    module.tensor("fc2.weight").add_(1);
  }
  scheduler.step();
  EXPECT_EQ(module.tensor("fc2.weight")[0].abs().max().item<float>(), 0);
  scheduler.remove_pruning();
  EXPECT_TRUE(module.masked().empty());
  EXPECT_EQ(module.tensor("fc2.weight")[0].abs().max().item<float>(), 0);
}

TEST(OneShotPruning, TakesTheInitialSparsityWhereOnlyThatIsGiven) {
  PlainNet net;
  OneShotPruningConfig config;
  config.pruning_fn_default_kwargs.initial_sparsity = 0.4;
  OneShotPruningScheduler scheduler(net, config);
  EXPECT_NEAR(scheduler.sparsity(), 0.4, 0.01);
}

TEST(OneShotPruning, PatternLockKeepsTheZerosThatAreThere) {
  torch::nn::Linear linear(10, 10);
  at::manual_seed(3);
  const at::Tensor mask = at::rand({10, 10}).le(0.5);
  {
    const at::NoGradGuard no_grad;
    linear->weight.mul_(mask);
  }
  OneShotPruningConfig config;
  config.pruning_fn = "pattern_lock";
  OneShotPruningScheduler scheduler(*linear, config);
  shake(*linear);
  scheduler.step();
  EXPECT_TRUE(at::equal(linear->weight.ne(0), mask));
}

TEST(Pruning, EveryKindOfLayerOfAPlainModule) {
  EveryLayer net;
  OneShotPruningScheduler scheduler(net, once(0.5));
  const auto sparsity = scheduler.sparsity_by_parameter();
  EXPECT_EQ(sparsity.size(), 5U);  // two weights of the LSTM
  for (const auto& [name, value] : sparsity) EXPECT_NEAR(value, 0.5, 1e-9) << name;
}

TEST(Pruning, LayersByTypeAndPattern) {
  EveryLayer net;
  OneShotPruningConfig config = once(0.5);
  config.prune_layer_types = {{"Linear", {}}, {"RNN", {.target_sparsity = 0.25}}};
  config.weight_sparsity_map["^fc"] = {.target_sparsity = 0.8};
  config.explicit_prune["tab.e"] = {.target_sparsity = 0.1, .name = "weight"};
  OneShotPruningScheduler scheduler(net, config);
  const auto sparsity = scheduler.sparsity_by_parameter();
  EXPECT_EQ(sparsity.size(), 4U);
  EXPECT_NEAR(sparsity.at("lstm.weight_ih_l0"), 0.25, 1e-9);
  EXPECT_NEAR(sparsity.at("fc.weight"), 0.8, 1e-9);
  EXPECT_NEAR(sparsity.at("table.weight"), 0.1, 1e-9);
}

TEST(Pruning, NotToPruneGoesBeforeExplicit) {
  PlainNet net;
  OneShotPruningConfig config = once(0.5);
  config.not_to_prune = {"c.*v", "fc"};
  config.explicit_prune["fc"] = {.target_sparsity = 0.2};
  OneShotPruningScheduler scheduler(net, config);
  EXPECT_EQ(scheduler.sparsity_by_parameter().size(), 1U);
  EXPECT_NEAR(scheduler.sparsity_by_parameter().at("fc.weight"), 0.2, 1e-9);
}

TEST(Pruning, OverridesByNameAndPattern) {
  GraphModule module(parse_model(kNet));
  OneShotPruningConfig config = once(0.5);
  config.weights["fc2.*"].not_to_prune = true;
  config.weights["fc1.weight"].kwargs = PruneKwargs{.target_sparsity = 0.25};
  OneShotPruningScheduler scheduler(module, config);
  EXPECT_THAT(module.masked(), ElementsAre("fc1.weight"));
  EXPECT_DOUBLE_EQ(scheduler.sparsity(), 0.25);
}

TEST(Pruning, AnotherMethodForOneWeight) {
  GraphModule module(parse_model(kNet));
  OneShotPruningConfig config = once(0.75);
  config.weights["fc1.weight"].pruning_fn = "n_m_magnitude";
  OneShotPruningScheduler scheduler(module, config);
  EXPECT_TRUE(module.mask("fc1.weight").sum(1).eq(2).all().item<bool>());
  EXPECT_NEAR(scheduler.sparsity_by_parameter().at("fc2.weight"), 0.75, 1e-9);
}

TEST(Pruning, GroupsShareAThreshold) {
  GraphModule module(parse_model(kNet));
  OneShotPruningConfig config;
  config.pruning_fn = "global_unstructured_magnitude";
  config.pruning_fn_default_kwargs.group_target_sparsity = 0.5;
  OneShotPruningScheduler scheduler(module, config);
  const at::Tensor all = at::cat({at::arange(1, 33).to(at::kFloat) * 0.1, at::arange(1, 25).to(at::kFloat)});
  const float threshold = std::get<0>(all.kthvalue(28)).item<float>();
  EXPECT_NEAR(scheduler.sparsity(), 0.5, 1e-9);
  EXPECT_EQ(module.mask("fc2.weight").logical_not().sum().item<int64_t>(), std::floor(threshold));

  GraphModule apart(parse_model(kNet));
  config.pruning_fn = "grouped_unstructured_magnitude";
  config.weights["fc2.weight"].kwargs = PruneKwargs{.group = "other"};
  OneShotPruningScheduler grouped(apart, config);
  EXPECT_NEAR(grouped.sparsity_by_parameter().at("fc2.weight"), 0.5, 1e-9);
  EXPECT_NEAR(grouped.sparsity_by_parameter().at("fc1.weight"), 0.5, 1e-9);
}

TEST(Pruning, ThresholdDecayFollowsItsRecurrence) {
  torch::nn::Linear linear(torch::nn::LinearOptions(10, 10).bias(false));
  {
    const at::NoGradGuard no_grad;
    linear->weight.copy_(at::arange(1, 101).to(at::kFloat).view({10, 10}));
  }
  IterativePruningConfig config = steps(0, 0.5);
  config.pruning_fn_default_kwargs.threshold_decay = 0.5;
  IterativePruningScheduler scheduler(*linear, config);
  scheduler.step();
  // The 50th smallest is 50; from a threshold of 0 that gives 25, then 37.5.
  EXPECT_EQ(linear->weight.eq(0).sum().item<int64_t>(), 25);
  scheduler.step();
  EXPECT_EQ(linear->weight.eq(0).sum().item<int64_t>(), 37);
}

// One step of SGD on latent weights, by hand: the gradient is that of the masked weight, everywhere.
TEST(NeuralWiring, LatentWeightsTrainByTheGradientOfTheMaskedOnes) {
  at::manual_seed(5);
  torch::nn::Linear linear(torch::nn::LinearOptions(10, 5).bias(false));
  const at::Tensor start = linear->weight.detach().clone();
  IterativePruningConfig config = steps(0, 0.7);
  config.pruning_fn = "unstructured_neural_wiring";
  IterativePruningScheduler scheduler(*linear, config);
  torch::optim::SGD optimizer(linear->parameters(), torch::optim::SGDOptions(0.1).weight_decay(0.01));
  at::Tensor latent = start.clone();
  at::Tensor mask = at::ones({5, 10}, at::kBool);
  for (int step = 0; step < 6; ++step) {
    const at::Tensor x = at::rand({4, 10});
    optimizer.zero_grad();
    linear->forward(x).square().sum().backward();
    scheduler.before_update();
    optimizer.step();
    scheduler.step();
    const at::Tensor y = x.matmul((latent * mask).t());
    latent = latent - 0.1 * ((2 * y).t().matmul(x) + 0.01 * latent);
    mask = latent.abs().gt(std::get<0>(latent.abs().flatten().kthvalue(35)));
    EXPECT_TRUE(at::allclose(linear->weight, latent * mask, 1e-5, 1e-6)) << "step " << step;
  }
  EXPECT_NEAR(scheduler.sparsity(), 0.7, 1e-9);
}

TEST(Regrow, FrozenWeightsComeBackWithTheValueThatTheyHad) {
  torch::nn::Linear linear(torch::nn::LinearOptions(4, 1).bias(false));
  {
    const at::NoGradGuard no_grad;
    linear->weight.copy_(at::tensor({1.F, 2.F, 3.F, 4.F}).view({1, 4}));
  }
  IterativePruningConfig config = steps(0, 0.5);
  config.pruning_fn_default_kwargs.regrow = "frozen";
  IterativePruningScheduler scheduler(*linear, config);
  const auto train = [&](const at::Tensor& gradient) {
    linear->weight.mutable_grad() = gradient.clone();
    scheduler.before_update();
    {
      const at::NoGradGuard no_grad;
      linear->weight.sub_(linear->weight.grad());
    }
    scheduler.step();
  };
  train(at::zeros({1, 4}));
  EXPECT_TRUE(at::equal(linear->weight.detach(), at::tensor({0.F, 0.F, 3.F, 4.F}).view({1, 4})));
  // The gradient of a pruned weight does nothing; the third shrinks below the second, which comes back.
  train(at::tensor({-9.F, -9.F, 2.F, 0.F}).view({1, 4}));
  EXPECT_TRUE(at::equal(linear->weight.detach(), at::tensor({0.F, 2.F, 0.F, 4.F}).view({1, 4})));
  EXPECT_THAT(refusal([&] { scheduler.step(); }), HasSubstr("before_update()"));
}

TEST(Regrow, CyclesBringWeightsBack) {
  at::manual_seed(6);
  torch::nn::Linear linear(20, 20);
  IterativePruningConfig config = steps(20, 0.8);
  config.schedule = "cyclic";
  config.cycles = 2;
  IterativePruningScheduler scheduler(*linear, config);
  std::vector<double> sparsities;
  for (int step = 0; step <= 20; ++step) {
    scheduler.before_update();
    scheduler.step();
    sparsities.push_back(scheduler.sparsity());
  }
  EXPECT_GT(sparsities[9], 0.75);
  EXPECT_EQ(sparsities[10], 0);
  EXPECT_NEAR(sparsities[20], 0.8, 1e-9);
}

TEST(Pruning, StateGoesOnBitForBit) {
  const auto run = [](int stop_at) {
    at::manual_seed(7);
    auto module = std::make_unique<GraphModule>(parse_model(kNet));
    IterativePruningConfig config = steps(12, 0.8);
    config.pruning_fn_default_kwargs.threshold_decay = 0.3;
    config.weights["fc2.weight"].pruning_fn = "unstructured_neural_wiring";
    auto scheduler = std::make_unique<IterativePruningScheduler>(*module, config);
    for (int step = 0; step < 14; ++step) {
      if (step == stop_at) {
        const auto state = module->state();
        std::map<std::string, at::Tensor> values, saved;
        for (const auto& [name, tensor] : state) values[name] = tensor.detach().clone();
        for (const auto& [name, tensor] : scheduler->save()) saved[name] = tensor.clone();
        module = std::make_unique<GraphModule>(parse_model(kNet));
        module->load_state(values);
        config.initial_step = step;
        scheduler = std::make_unique<IterativePruningScheduler>(*module, config);
        scheduler->load(saved);
      }
      for (at::Tensor& p : module->parameters()) p.mutable_grad() = at::zeros_like(p);
      scheduler->before_update();
      at::manual_seed(100 + static_cast<uint64_t>(step));
      shake(*module, 0.3);
      scheduler->step();
    }
    std::map<std::string, at::Tensor> result;
    for (const auto& [name, tensor] : module->state()) result[name] = tensor.detach().clone();
    return result;
  };
  const auto whole = run(-1), resumed = run(6);
  ASSERT_EQ(whole.size(), resumed.size());
  for (const auto& [name, tensor] : whole) EXPECT_TRUE(at::equal(tensor, resumed.at(name))) << name;
}

TEST(Pruning, GoesOnFromMasksThatAreThere) {
  at::manual_seed(8);
  GraphModule module(parse_model(kNet));
  {
    OneShotPruningScheduler first(module, once(0.5));
  }
  const at::Tensor before = module.mask("fc1.weight").clone();
  IterativePruningScheduler second(module, steps(4, 0.75));
  for (int step = 0; step < 6; ++step) {
    shake(module, 0.5);
    second.step();
    EXPECT_FALSE(module.mask("fc1.weight").logical_and(before.logical_not()).any().item<bool>());
  }
  EXPECT_NEAR(second.sparsity(), 0.75, 1e-9);
  // 2:4 on top of a pattern that is sparser than that.
  OneShotPruningConfig config;
  config.pruning_fn = "n_m_magnitude";
  OneShotPruningScheduler third(module, config);
  EXPECT_LE(module.mask("fc1.weight").sum(1).max().item<int64_t>(), 2);
  EXPECT_GE(third.sparsity(), 0.75);
}

TEST(CustomMask, HoldsTheMaskOnAnyModule) {
  PlainNet net;
  at::Tensor mask = at::ones({5, 8});
  mask[2].fill_(0);
  const auto pruning = custom_mask_pruning(net, "fc.weight", mask);
  shake(net);
  pruning->step();
  EXPECT_TRUE(at::equal(net.fc->weight.detach().ne(0), mask.to(at::kBool)));
  pruning->remove_pruning();
  shake(net);
  EXPECT_EQ(get_tensor_sparsity_ratio(net.fc->weight), 0);

  GraphModule module(parse_model(kNet));
  custom_mask_pruning(module, "fc2.weight", at::zeros({3, 8}));
  EXPECT_EQ(get_tensor_sparsity_ratio(module.tensor("fc2.weight")), 1);
  lock_tensor_sparsity_pattern(module, "fc1.weight");
  EXPECT_THAT(module.masked(), UnorderedElementsAre("fc1.weight", "fc2.weight"));
  EXPECT_THROW(custom_mask_pruning(net, "fc.weight", at::ones({5, 7})), Error);
  EXPECT_THAT(refusal([&] { custom_mask_pruning(net, "fc.wieght", mask); }), HasSubstr("fc.weight"));
}

TEST(Pruning, RefusesBadInputBeforeAnyWeightChanges) {
  PlainNet net;
  const at::Tensor before = net.fc->weight.clone();
  const auto complaint = [&](const auto& change) {
    IterativePruningConfig config = steps(10, 0.5);
    change(config);
    return refusal([&] { IterativePruningScheduler(net, config).step(); });
  };
  using Config = IterativePruningConfig;
  EXPECT_THAT(complaint([](Config& c) { c.pruning_fn_default_kwargs.target_sparsity = 1.2; }),
              HasSubstr("[0, 1)"));
  EXPECT_THAT(complaint([](Config& c) { c.pruning_fn_default_kwargs.target_sparsity = -0.1; }),
              HasSubstr("[0, 1)"));
  EXPECT_THAT(complaint([](Config& c) { c.pruning_fn = "unstructured_magnitud"; }),
              HasSubstr("did you mean 'unstructured_magnitude'"));
  EXPECT_THAT(complaint([](Config& c) { c.pruning_fn_default_kwargs.block_size = 4; }),
              HasSubstr("has no block_size"));
  EXPECT_THAT(complaint([](Config& c) { c.weights["fc.wieght"].not_to_prune = true; }),
              HasSubstr("fc.weight"));
  EXPECT_THAT(complaint([](Config& c) { c.not_to_prune = {"fcc"}; }), HasSubstr("matches 'fcc'"));
  EXPECT_THAT(complaint([](Config& c) { c.not_to_prune = {"*"}; }), HasSubstr("regular expression"));
  EXPECT_THAT(complaint([](Config& c) { c.weight_sparsity_map = {{"f", {}}, {"fc", {}}}; }),
              HasSubstr("several"));
  EXPECT_THAT(complaint([](Config& c) { c.prune_layer_types = {{"Linea", {}}}; }), HasSubstr("'Linear'"));
  EXPECT_THAT(complaint([](Config& c) { c.not_to_prune = {"."}; }), HasSubstr("no weight to prune"));
  EXPECT_THAT(complaint([](Config& c) { c.init_strategy = "erc"; }), HasSubstr("init_strategy"));
  EXPECT_THAT(complaint([](Config& c) { c.schedule = "cubik"; }), HasSubstr("'cubic'"));
  EXPECT_THAT(complaint([](Config& c) { c.policy_begin_step = 20; }), HasSubstr("policy_begin_step"));
  EXPECT_THAT(complaint([](Config& c) { c.pruning_fn = "pattern_lock", c.pruning_fn_default_kwargs = {}; }),
              HasSubstr("one-shot"));
  // Both weights are too narrow for 8 of 16, and both are named.
  EXPECT_THAT(complaint([](Config& c) {
                c.pruning_fn = "n_m_magnitude";
                c.pruning_fn_default_kwargs = {.n = 8, .m = 16};
              }),
              ::testing::AllOf(HasSubstr("'conv.weight': 8:16"), HasSubstr("'fc.weight': 8:16")));
  {
    const at::NoGradGuard no_grad;
    net.conv->weight.fill_(NAN);
  }
  EXPECT_THAT(complaint([](Config&) {}), HasSubstr("conv.weight"));
  EXPECT_TRUE(at::equal(net.fc->weight, before));

  GraphModule pruned(parse_model(kNet));
  {
    OneShotPruningScheduler first(pruned, once(0.9));
  }
  EXPECT_THAT(refusal([&] { OneShotPruningScheduler(pruned, once(0.5)); }), HasSubstr("pruned already"));
}

}  // namespace
}  // namespace mc
