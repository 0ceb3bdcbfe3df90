#include "mc/prune/distribution.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include "mc/base/error.h"
#include "mc/prune/method.h"
#include "mc/prune/pruning_config.h"
#include "mc/prune/sensitivity.h"
#include "mc/prune/sparsity_schedule.h"

namespace mc {
namespace {

TEST(SparsitySchedule, FollowsItsClosedForms) {
  const auto at = [](const char* name, double initial, int64_t step, int64_t cycles = 1) {
    return SparsitySchedule{name, 10, 110, cycles}.sparsity(initial, 0.8, step);
  };
  EXPECT_DOUBLE_EQ(at("cubic", 0.0, 60), 0.8 * (1 - 0.125));
  EXPECT_DOUBLE_EQ(at("cubic", 0.2, 35), 0.8 - 0.6 * std::pow(0.75, 3));
  EXPECT_DOUBLE_EQ(at("linear", 0.2, 35), 0.35);
  EXPECT_DOUBLE_EQ(at("exponential", 0.0, 60), 1 - std::sqrt(0.2));
  EXPECT_DOUBLE_EQ(at("cyclic", 0.2, 60, 2), 0.2);
  EXPECT_NEAR(at("cyclic", 0.2, 85, 2), 0.8 - 0.6 * 0.125, 1e-12);
  EXPECT_DOUBLE_EQ(at("constant", 0.2, 10), 0.8);
  for (const SparsityScheduleKind& kind : sparsity_schedules()) {
    EXPECT_DOUBLE_EQ(at(kind.name.c_str(), 0.1, 9), 0.1) << kind.name;
    EXPECT_DOUBLE_EQ(at(kind.name.c_str(), 0.1, 110, 3), 0.8) << kind.name;
  }
  EXPECT_DOUBLE_EQ((SparsitySchedule{"cubic", 7, 7, 1}.sparsity(0, 0.8, 7)), 0.8);
}

double kept(const std::vector<std::vector<int64_t>>& dims, const std::vector<double>& sparsities) {
  double sum = 0;
  for (size_t i = 0; i < dims.size(); ++i) {
    double elements = 1;
    for (const int64_t dim : dims[i]) elements *= static_cast<double>(dim);
    sum += (1 - sparsities[i]) * elements;
  }
  return sum;
}

TEST(ErdosRenyi, DensityFollowsTheShape) {
  const std::vector<std::vector<int64_t>> dims = {{64, 32, 3, 3}, {128, 64, 3, 3}, {10, 128}};
  for (const bool kernel : {false, true}) {
    const auto sparsities = erdos_renyi(dims, 0.8, kernel);
    EXPECT_NEAR(kept(dims, sparsities), 0.2 * (64 * 32 * 9 + 128 * 64 * 9 + 1280), 1e-6);
    const double first = kernel ? 102.0 / (64 * 32 * 9) : 96.0 / (64 * 32);
    const double second = kernel ? 198.0 / (128 * 64 * 9) : 192.0 / (128 * 64);
    EXPECT_NEAR((1 - sparsities[0]) / (1 - sparsities[1]), first / second, 1e-9);
  }
}

TEST(ErdosRenyi, WhatWouldBeMoreThanDenseIsDense) {
  const std::vector<std::vector<int64_t>> dims = {{4, 2}, {512, 512}};
  const auto sparsities = erdos_renyi(dims, 0.9, true);
  EXPECT_DOUBLE_EQ(sparsities[0], 0);
  EXPECT_NEAR(kept(dims, sparsities), 0.1 * (8 + 512 * 512), 1e-6);
  EXPECT_THROW(erdos_renyi({}, 0.5, true), Error);
  EXPECT_THROW(erdos_renyi(dims, 1.5, true), Error);
}

TEST(ErdosRenyi, IsAStrategyOfTheConfiguration) {
  torch::nn::Sequential net(torch::nn::Linear(4, 2), torch::nn::Linear(512, 512));
  PruningConfig config;
  config.pruning_fn_default_kwargs.target_sparsity = 0.9;
  config.init_strategy = "er";
  const std::vector<PruneTarget> targets = prune_targets(*net, config);
  EXPECT_DOUBLE_EQ(targets[0].settings.target, 0);
  EXPECT_NEAR(targets[1].settings.target, 1 - (0.1 * (8 + 512 * 512) - 8) / (512 * 512), 1e-9);
}

// By trying every combination of points, as the slopes here need no part of a step.
TEST(AllocateSparsity, MinimisesTheSumOfConvexLosses) {
  const SensitivityCurve easy{100, {0, 0.5, 1.0}, {0, 1, 3}}, hard{100, {0, 0.5, 1.0}, {0, 2, 7}};
  EXPECT_THAT(allocate_sparsity({easy, hard}, 0.25), ::testing::ElementsAre(0.5, 0));
  EXPECT_EQ(allocate_sparsity({easy, hard}, 0.75)[0], 1);
  EXPECT_EQ(allocate_sparsity({easy, hard}, 0.75)[1], 0.5);
  // Half of the next step.
  EXPECT_THAT(allocate_sparsity({easy, hard}, 0.125), ::testing::ElementsAre(0.25, 0));
  // A point above the hull is passed over.
  const SensitivityCurve bumpy{100, {0, 0.5, 1.0}, {0, 5, 2}};
  EXPECT_THAT(allocate_sparsity({bumpy, hard}, 0.5), ::testing::ElementsAre(1, 0));
  EXPECT_THROW(allocate_sparsity({{100, {0, 0.5}, {0, 1}}}, 0.9), Error);
  EXPECT_THROW(allocate_sparsity({{100, {0, 0.5}, {0, NAN}}}, 0.2), Error);
}

// The loss sees the first weight only, so that the other one is pruned first.
TEST(Sensitivity, SpreadsToWhatTheLossDoesNotSee) {
  at::manual_seed(1);
  torch::nn::Linear seen(20, 20), unseen(20, 20);
  torch::nn::Sequential net(seen, unseen);
  PruningConfig config;
  config.pruning_fn_default_kwargs.target_sparsity = 0.45;
  config.init_strategy = "sensitivity";
  EXPECT_THROW(prune_targets(*net, config), Error);
  const at::Tensor x = at::randn({16, 20}), y = seen->forward(x).detach(),
                   before = seen->weight.detach().clone();
  config.data.batches = 1;
  config.data.loss = [&](int64_t) { return (seen->forward(x) - y).square().mean(); };
  const std::vector<PruneTarget> targets = prune_targets(*net, config);
  EXPECT_NEAR(targets[0].settings.target, 0, 1e-9);
  EXPECT_NEAR(targets[1].settings.target, 0.9, 1e-9);
  EXPECT_TRUE(at::equal(seen->weight, before));
  EXPECT_TRUE(net->is_training());
}

TEST(Methods, AreThoseOfTheReferenceAndMore) {
  for (const char* name : {"unstructured_magnitude", "uniform_magnitude", "block_structured_magnitude",
                           "global_unstructured_magnitude", "unstructured_neural_wiring",
                           "uniform_neural_wiring", "block_structured_neural_wiring", "pattern_lock"})
    EXPECT_THAT(list_methods(), ::testing::Contains(name));
  const PruneSettings settings = settle_kwargs(find_pruning_method("n_m_magnitude"), {.n = 1, .m = 4});
  EXPECT_DOUBLE_EQ(settings.target, 0.75);
  EXPECT_THROW(settle_kwargs(find_pruning_method("n_m_magnitude"), {.target_sparsity = 0.9}), Error);
  EXPECT_THROW(settle_kwargs(find_pruning_method("unstructured_magnitude"), {.threshold_decay = 1.0}), Error);
  EXPECT_THROW(settle_kwargs(find_pruning_method("unstructured_magnitude"), {.regrow = "sometimes"}), Error);
}

}  // namespace
}  // namespace mc
