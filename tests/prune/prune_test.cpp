#include "mc/prune/prune.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

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

TEST(CubicSparsity, FollowsZhuAndGupta) {
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.0, 0.8, 0, 0, 100), 0.0);
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.0, 0.8, 50, 0, 100), 0.8 * (1 - 0.125));
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.2, 0.8, 25, 0, 100), 0.8 - 0.6 * std::pow(0.75, 3));
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.0, 0.8, 100, 0, 100), 0.8);
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.1, 0.8, 3, 10, 100), 0.1);
  EXPECT_DOUBLE_EQ(cubic_sparsity(0.0, 0.8, 7, 7, 7), 0.8);
}

TEST(UnstructuredMagnitude, TakesExactlyTheSmallest) {
  const at::Tensor weight = at::tensor({0.5F, -0.1F, 0.3F, -0.9F, 0.2F, 0.0F, 0.7F, -0.4F}).view({2, 4});
  const at::Tensor mask = find_pruning_method("unstructured_magnitude").mask(weight, 0.5);
  EXPECT_TRUE(at::equal(mask, at::tensor({1, 0, 0, 1, 0, 0, 1, 1}).view({2, 4}).to(at::kBool)));
}

TEST(UnstructuredMagnitude, BreaksTiesToTheExactCount) {
  const at::Tensor weight = at::full({10, 10}, 0.25F);
  for (double sparsity : {0.0, 0.13, 0.5, 0.99}) {
    const at::Tensor mask = find_pruning_method("unstructured_magnitude").mask(weight, sparsity);
    EXPECT_EQ(mask.numel() - mask.sum().item<int64_t>(), std::llround(100 * sparsity));
  }
}

TEST(UnstructuredMagnitude, AgreesWithSortingOnRandomWeights) {
  at::manual_seed(7);
  const at::Tensor weight = at::randn({64, 33});
  const at::Tensor mask = find_pruning_method("unstructured_magnitude").mask(weight, 0.8);
  const at::Tensor order = std::get<0>(weight.abs().flatten().sort());
  const auto count = static_cast<int64_t>(std::llround(0.8 * 64 * 33));
  EXPECT_TRUE(at::equal(mask, weight.abs().gt(order[count - 1])));
}

TEST(PruningMethods, UnknownNameNamesTheNearest) {
  try {
    find_pruning_method("unstructured_magnitud");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("unstructured_magnitude"));
  }
}

IterativePruningConfig steps(int64_t end, double target) {
  IterativePruningConfig config;
  config.policy_end_step = end;
  config.pruning_fn_default_kwargs.target_sparsity = target;
  return config;
}

TEST(IterativePruning, PlainModuleReachesItsTargetAndKeepsZerosWhileTraining) {
  at::manual_seed(1);
  PlainNet net;
  IterativePruningScheduler scheduler(net, steps(10, 0.75));
  double before = -1;
  for (int step = 0; step < 15; ++step) {
    {
      at::NoGradGuard no_grad;
      for (at::Tensor& p : net.parameters()) p.add_(at::randn_like(p) * 0.01);
    }
    scheduler.step();
    EXPECT_GE(scheduler.sparsity(), before - 1e-9);
    before = scheduler.sparsity();
  }
  EXPECT_NEAR(scheduler.sparsity(), 0.75, 0.01);
  const auto by_name = scheduler.sparsity_by_parameter();
  EXPECT_EQ(by_name.size(), 2U);
  EXPECT_NEAR(by_name.at("conv.weight"), 0.75, 0.005);
  EXPECT_GT(net.conv->bias.abs().min().item<float>(), 0);
  scheduler.remove_pruning();
  EXPECT_NEAR(weight_sparsity(net).at("fc.weight"), 0.75, 0.02);
  EXPECT_THROW(scheduler.step(), Error);
}

TEST(IterativePruning, GraphModuleHoldsTheMasks) {
  GraphModule module(parse_model(kNet));
  OneShotPruningScheduler scheduler(module, steps(0, 0.5));
  EXPECT_THAT(module.masked(), ::testing::UnorderedElementsAre("fc1.weight", "fc2.weight"));
  EXPECT_DOUBLE_EQ(scheduler.sparsity(), 0.5);
  const at::Tensor weight = module.tensor("fc2.weight");
  EXPECT_EQ(weight.eq(0).sum().item<int64_t>(), 12);
  EXPECT_EQ(weight[0].abs().max().item<float>(), 0);  // 1..8 are the smallest
  {
    at::NoGradGuard no_grad;
    module.tensor("fc2.weight").add_(1);
  }
  scheduler.step();
  EXPECT_EQ(module.tensor("fc2.weight")[0].abs().max().item<float>(), 0);
  scheduler.remove_pruning();
  EXPECT_TRUE(module.masked().empty());
  EXPECT_EQ(module.tensor("fc2.weight")[0].abs().max().item<float>(), 0);
}

TEST(IterativePruning, OverridesByNameAndPattern) {
  GraphModule module(parse_model(kNet));
  IterativePruningConfig config = steps(0, 0.5);
  config.weights["fc2.*"].not_to_prune = true;
  config.weights["fc1.weight"].kwargs = PruneKwargs{0.25, 0.0};
  OneShotPruningScheduler scheduler(module, config);
  EXPECT_THAT(module.masked(), ::testing::ElementsAre("fc1.weight"));
  EXPECT_DOUBLE_EQ(scheduler.sparsity(), 0.25);
}

TEST(IterativePruning, RefusesBadInputBeforeAnyWeightChanges) {
  PlainNet net;
  const at::Tensor before = net.fc->weight.clone();
  EXPECT_THROW(IterativePruningScheduler(net, steps(10, 1.2)), Error);
  EXPECT_THROW(IterativePruningScheduler(net, steps(10, -0.1)), Error);
  IterativePruningConfig config = steps(10, 0.5);
  config.weights["fc.wieght"].not_to_prune = true;
  try {
    IterativePruningScheduler scheduler(net, config);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("fc.weight"));
  }
  {
    at::NoGradGuard no_grad;
    net.conv->weight.fill_(NAN);
  }
  IterativePruningScheduler scheduler(net, steps(0, 0.5));
  EXPECT_THROW(scheduler.step(), Error);
  EXPECT_TRUE(at::equal(net.fc->weight, before));
}

}  // namespace
}  // namespace mc
