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

// After the last mask the rewound weights train as if a stage began with them: with no momentum of others.
TEST(PruneStage, TheOptimizerStartsAnewWhereWeightsAreRewound) {
  const std::vector<OptimizerOptions> optimizers = {SgdOptions{.lr = 0.05, .momentum = 0.9}, AdamOptions()};
  for (const OptimizerOptions& optimizer : optimizers) {
    const auto data = std::make_shared<Clouds>(96);
    Loader loader(data, {.batch_size = 16, .shuffle = false, .drop_last = true});
    constexpr double kSteps = 6;  // of an epoch
    TrainOptions train = two_epochs();
    train.optimizer = optimizer;
    GraphModule module(mlp(false)), again(mlp(false));
    std::map<std::string, at::Tensor> start;
    for (const Role role : {Role::kWeight, Role::kStatistic}) {
      for (const std::string& name : module.names(role)) start[name] = module.tensor(name).detach().clone();
    }
    PruneOptions options;
    options.end = (kSteps - 1) / (2 * kSteps);  // the first epoch's last step
    train_stage("prune", module, loader, nullptr, {make_prune_method(options, start)}, train, {}, {}, false);
    for (const char* name : {"w1", "w2"}) again.set_mask(name, module.mask(name));
    train.epochs = 1;
    train_stage("train", again, loader, nullptr, {}, train, {}, {}, false);
    for (const auto& [name, value] : start) {
      EXPECT_TRUE(at::allclose(module.tensor(name), again.tensor(name), 1e-6, 1e-7)) << name;
      EXPECT_FALSE(at::equal(module.tensor(name), value)) << name << " has not trained";
    }
  }
}

// Asks for an interruption after one step.
class StopAfter : public Method {
 public:
  explicit StopAfter(int64_t step) : step_(step) {}
  std::string name() const override { return "stop"; }
  void after_step(StepContext& context) override {
    if (context.step == step_) set_interrupted(true);
  }

 private:
  int64_t step_;
};

// The state that the stage ends with, having been interrupted after `step` where that is not negative.
std::map<std::string, at::Tensor> state_with_stop(const PruneOptions& options, int64_t step) {
  const auto loader = training_loader();
  TemporaryFolder folder;
  const StageFiles files{.checkpoint = folder / "checkpoint", .best = {}};
  const auto train = [&](GraphModule& module, int64_t stop, bool resume) {
    train_stage("prune", module, *loader, nullptr,
                {make_prune_method(options), std::make_shared<StopAfter>(stop)}, two_epochs(), files, {},
                resume);
    return copied_state(module);
  };
  GraphModule first(mlp()), second(mlp());
  if (step < 0) return train(first, -1, false);
  EXPECT_THAT(error_of([&] { train(first, step, false); }), HasSubstr("interrupted"));
  set_interrupted(false);
  return train(second, -1, true);
}

TEST(PruneStage, ResumesBitForBit) {
  for (const char* method : {"unstructured_magnitude", "unstructured_neural_wiring", "movement", "taylor",
                             "soft_movement", "l0"}) {
    PruneOptions options;
    options.method = method;
    options.frequency = 1;
    options.end = 0.9;
    if (std::string(method).starts_with("unstructured")) options.threshold_decay = 0.2;
    const auto whole = state_with_stop(options, -1);
    const int64_t steps = training_loader()->batches();
    // Early, where an epoch ends, and when the last mask is made.
    for (const int64_t stop : {int64_t{1}, steps - 1, steps * 2 * 9 / 10}) {
      SCOPED_TRACE(std::string(method) + ", stopped after step " + std::to_string(stop));
      expect_equal_states(whole, state_with_stop(options, stop));
    }
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
