#include "mc/prune/prune_stage.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/prune/sparsity.h"
#include "mc/train/trainer.h"
#include "tests/train/training.h"

namespace mc::testing {
namespace {

using ::testing::HasSubstr;

TrainOptions two_epochs(double lr = 0.1) {
  TrainOptions options;
  options.epochs = 2;
  options.optimizer = SgdOptions{.lr = lr};
  options.schedule = ConstantOptions{};
  return options;
}

StageResult run_prune_stage(GraphModule& module, const PruneOptions& options, const TrainOptions& train,
                            std::map<std::string, at::Tensor> rewind = {}, const MetricsSink& sink = {}) {
  const auto loader = training_loader();
  return train_stage("prune", module, *loader, nullptr, {make_prune_method(options, std::move(rewind))},
                     train, {}, sink, false);
}

TEST(PruneStage, EveryMethodReachesItsSparsity) {
  for (const PruningMethod& method : pruning_methods()) {
    PruneOptions options;
    options.method = method.name;
    options.frequency = 2;
    options.block_dims = {2, 2};
    options.block_size = 3;
    if (method.iterative && method.structure_kwargs != std::vector<std::string>{"n", "m"})
      options.target_sparsity = 2.0 / 3;
    GraphModule module(mlp());
    run_prune_stage(module, options, two_epochs());
    const double wanted = !method.iterative ? 0
                          : method.structure_kwargs.size() == 2 && method.name[0] == 'n'
                              ? 1.0 / 3  // of 6 inputs 4, of 16 all but half
                              : 2.0 / 3;
    EXPECT_NEAR(weight_sparsity(module).at("w1"), wanted, method.scope == PruneScope::kLayer ? 0.01 : 0.2)
        << method.name;
    EXPECT_EQ(module.masked().size(), 2U) << method.name;
  }
}

void expect_target_reached(PruneOptions options) {
  options.target_sparsity = 0.6;
  options.score_batches = 2;
  GraphModule module(mlp());
  run_prune_stage(module, options, two_epochs());
  double zeros = 0;
  for (const char* name : {"w1", "w2"}) zeros += module.tensor(name).eq(0).sum().item<double>();
  EXPECT_NEAR(zeros / (96 + 48), 0.6, 0.01) << options.schedule << ", " << options.distribution;
}

TEST(PruneStage, EveryScheduleAndDistributionReachesTheTarget) {
  for (const std::string& schedule : sparsity_schedule_names()) {
    PruneOptions options;
    options.schedule = schedule;
    expect_target_reached(options);
  }
  for (const char* distribution : {"er", "erk", "global", "sensitivity"}) {
    PruneOptions options;
    options.distribution = distribution;
    expect_target_reached(options);
  }
}

TEST(PruneStage, LogsSparsityByLayer) {
  GraphModule module(mlp());
  std::vector<Json> lines;
  run_prune_stage(module, {}, two_epochs(), {}, [&](const Json& line) { lines.push_back(line); });
  ASSERT_FALSE(lines.empty());
  const Json& last = lines.back().at("prune");
  EXPECT_NEAR(last.at("sparsity").get<double>(), 0.8, 0.01);
  EXPECT_NEAR(last.at("target_sparsity").get<double>(), 0.8, 1e-9);
  EXPECT_NEAR(last.at("layers").at("w1").get<double>(), 0.8, 0.01);
}

// With a learning rate of nothing, what stays is what it was rewound to.
TEST(PruneStage, RewindsWhatStays) {
  for (const char* schedule : {"one_shot", "cubic"}) {
    GraphModule early(mlp()), module(mlp());
    std::map<std::string, at::Tensor> start;
    for (const Role role : {Role::kWeight, Role::kStatistic}) {
      for (const std::string& name : early.names(role))
        start[name] = early.tensor(name).detach().clone() + 0.5;
    }
    PruneOptions options;
    options.schedule = schedule;
    run_prune_stage(module, options, two_epochs(1e-30), start);
    for (const char* name : {"w1", "w2"})
      EXPECT_TRUE(at::equal(module.tensor(name), start[name] * module.mask(name))) << schedule << name;
    EXPECT_TRUE(at::equal(module.tensor("scale"), start["scale"])) << schedule;
    start["w1"] = at::zeros({3, 3});
    EXPECT_THAT(error_of([&] { run_prune_stage(module, options, two_epochs(), start); }),
                HasSubstr("its shape has changed"));
  }
}

TEST(PruneStage, ResumesBitForBit) {
  for (const char* method : {"unstructured_magnitude", "unstructured_neural_wiring"}) {
    PruneOptions options;
    options.method = method;
    options.frequency = 1;
    options.end = 0.9;
    options.threshold_decay = 0.2;
    GraphModule whole(mlp());
    run_prune_stage(whole, options, two_epochs());
    TemporaryFolder folder;
    const StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
    const auto loader = training_loader();
    GraphModule first(mlp());
    const auto stop = [](const Json& line) {
      if (line.contains("train_loss")) set_interrupted(true);
    };
    EXPECT_THAT(error_of([&] {
                  train_stage("prune", first, *loader, nullptr, {make_prune_method(options)}, two_epochs(),
                              files, stop, false);
                }),
                HasSubstr("interrupted"));
    set_interrupted(false);
    GraphModule second(mlp());
    train_stage("prune", second, *loader, nullptr, {make_prune_method(options)}, two_epochs(), files, {},
                true);
    expect_equal_states(copied_state(whole), copied_state(second));
  }
}

TEST(PruneStage, MasksHoldInTheStageThatFollows) {
  GraphModule module(mlp());
  run_prune_stage(module, {}, two_epochs());
  const at::Tensor before = module.tensor("w1").ne(0).clone();
  const auto loader = training_loader();
  train_stage("train", module, *loader, nullptr, {}, two_epochs(), {}, {}, false);
  EXPECT_FALSE(module.tensor("w1").ne(0).logical_and(before.logical_not()).any().item<bool>());
}

TEST(PruneOptions, SettingsThatDoNotFitAreRefused) {
  const auto complaint = [](const auto& change) {
    PruneOptions options;
    change(options);
    return error_of([&] { make_prune_method(options); });
  };
  EXPECT_THAT(complaint([](PruneOptions& o) { o.begin = 0.8; }), HasSubstr("before begin"));
  EXPECT_THAT(complaint([](PruneOptions& o) {
                o.method = "n_m_magnitude";
                o.target_sparsity = 0.8;
              }),
              HasSubstr("2:4 is a sparsity of 0.5"));
  EXPECT_THAT(complaint([](PruneOptions& o) {
                o.method = "n_m_magnitude";
                o.n = 4;
              }),
              HasSubstr("4 of 4"));
  EXPECT_THAT(complaint([](PruneOptions& o) {
                o.method = "uniform_neural_wiring";
                o.schedule = "one_shot";
              }),
              HasSubstr("another schedule"));
  EXPECT_THAT(complaint([](PruneOptions& o) { o.layers["w1"].block_size = 4; }), HasSubstr("layers.w1"));
  EXPECT_THAT(complaint([](PruneOptions& o) { o.layers["w1"].pruning_fn = "magnitude"; }),
              HasSubstr("unknown"));
}

}  // namespace
}  // namespace mc::testing
