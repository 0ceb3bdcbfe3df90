#include "mc/prune/gates.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"
#include "mc/prune/stages.h"
#include "mc/train/trainer.h"

namespace mc {
namespace {

// Equation 12: the share of samples that are not 0 is sigmoid(log_alpha - beta log(-gamma / zeta)).
TEST(HardConcrete, OpensAsOftenAsThePaperSays) {
  at::manual_seed(1);
  const HardConcrete gate;
  for (const double log_alpha : {-3.0, -0.5, 0.0, 1.0, 2.9}) {
    const at::Tensor number = at::full({200000}, log_alpha, at::kDouble);
    const at::Tensor z = gate.sample(number, at::rand({200000}, at::kDouble));
    const double open = 1 / (1 + std::exp(-(log_alpha - 2.0 / 3.0 * std::log(0.1 / 1.1))));
    EXPECT_NEAR(z.gt(0).to(at::kDouble).mean().item<double>(), open, 0.005);
    EXPECT_NEAR(gate.open(number)[0].item<double>(), open, 1e-12);
    // It is 1 as often as one that is mirrored is 0.
    const double full = 1 - 1 / (1 + std::exp(-(-log_alpha - 2.0 / 3.0 * std::log(0.1 / 1.1))));
    EXPECT_NEAR(z.eq(1).to(at::kDouble).mean().item<double>(), full, 0.005);
    const double settled = 1.2 / (1 + std::exp(-log_alpha)) - 0.1;
    EXPECT_NEAR(gate.settled(number)[0].item<double>(), std::clamp(settled, 0.0, 1.0), 1e-12);
  }
}

TEST(HardConcrete, ItsGradientIsThatOfTheStretchedSigmoid) {
  const HardConcrete gate;
  const at::Tensor number = at::tensor({0.3, -1.0}, at::kDouble).requires_grad_();
  const at::Tensor u = at::tensor({0.4, 0.6}, at::kDouble);
  gate.sample(number, u).sum().backward();
  for (int64_t i = 0; i < 2; ++i) {
    const double at_u = u[i].item<double>(), alpha = number[i].item<double>();
    const double s = 1 / (1 + std::exp(-(std::log(at_u / (1 - at_u)) + alpha) * 1.5));
    EXPECT_NEAR(number.grad()[i].item<double>(), s * (1 - s) * 1.5 * 1.2, 1e-9);
  }
}

TEST(SoftMovementGate, IsOpenAboveItsThresholdAndLearnsStraightThrough) {
  const auto gate = make_soft_movement_gate(0.2);
  const at::Tensor number = at::tensor({-2.0, -1.0, 0.0, 3.0}, at::kDouble).requires_grad_();
  const at::Tensor z = gate->training(number, {});
  EXPECT_TRUE(at::equal(z.detach(), at::tensor({0.0, 1.0, 1.0, 1.0}, at::kDouble)));
  (z * at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble)).sum().backward();
  EXPECT_TRUE(at::equal(number.grad(), at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble)));
  EXPECT_NEAR(gate->price(number.detach())[1].item<double>(), 1 / (1 + std::exp(1.0)), 1e-12);
}

// Inputs of 12 numbers of which only the first three say anything of the two classes.
class Hints : public Dataset {
 public:
  Hints() {
    at::manual_seed(5);
    x_ = at::randn({512, 12});
    labels_ = x_.narrow(1, 0, 3).sum(1).gt(0).to(at::kLong);
  }
  int64_t size() const override { return 512; }
  std::vector<FieldInfo> fields() const override { return {{"x", at::kFloat, {12}}}; }
  bool labelled() const override { return true; }
  int64_t classes() const override { return 2; }
  std::string description() const override { return "hints"; }
  Batch get(std::span<const int64_t> indices) const override {
    const at::Tensor rows = at::tensor(std::vector<int64_t>(indices.begin(), indices.end()), at::kLong);
    return {{x_.index_select(0, rows)}, labels_.index_select(0, rows), {indices.begin(), indices.end()}};
  }

 private:
  at::Tensor x_, labels_;
};

Model hinted_model() {
  at::manual_seed(6);
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,12] x) => (float[N,2] y) { y = MatMul (x, w) })");
  model.graph.add_initializer("w", to_constant(at::randn({12, 2})));
  return model;
}

double train_with(GraphModule& module, const PruneOptions& options, int64_t epochs) {
  const auto data = std::make_shared<Hints>();
  Loader loader(data, {.batch_size = 32, .shuffle = true, .drop_last = true});
  Loader evaluation(data, {.batch_size = 128});
  TrainOptions train;
  train.epochs = epochs;
  train.optimizer = SgdOptions{.lr = 0.2, .weight_decay = 0};
  return train_stage(
             "prune", module, loader, &evaluation, {make_prune_method(options)}, train, {},
             [](const Json&) {}, false)
      .metric;
}

TEST(GateStage, ClosesWhatSaysNothing) {
  for (const std::string method : {"l0", "soft_movement"}) {
    GraphModule module(hinted_model());
    PruneOptions options;
    options.method = method;
    options.target_sparsity = 0.75;
    options.gate_lr = 0.1;
    const double accuracy = train_with(module, options, 12);
    EXPECT_GT(accuracy, 0.95) << method;
    const at::Tensor mask = module.mask("w");
    ASSERT_TRUE(mask.defined()) << method;
    EXPECT_EQ(mask.sum().item<int64_t>(), 6) << method;
    // Two classes leave a choice between the two weights of an input.
    EXPECT_GE(mask.narrow(0, 0, 3).sum().item<int64_t>(), 4) << method;
    EXPECT_TRUE(mask.narrow(0, 0, 3).any(1).all().item<bool>()) << method;
    EXPECT_TRUE(at::equal(module.tensor("w").detach().ne(0) & mask.logical_not(), at::zeros_like(mask)));
  }
}

TEST(GateStage, AGivenPriceDecidesByItself) {
  PruneOptions options;
  options.method = "l0";
  options.gate_lr = 0.1;
  const auto kept = [&](double price) {
    GraphModule module(hinted_model());
    options.gate_price = price;
    train_with(module, options, 12);
    return module.mask("w").sum().item<int64_t>();
  };
  const int64_t cheap = kept(1e-9), dear = kept(1e-2);
  EXPECT_GT(cheap, 12);
  EXPECT_LT(dear, cheap);
}

TEST(GateStage, RefusesWhatItDoesNotHave) {
  PruneOptions options;
  options.method = "l0";
  options.distribution = "erk";
  EXPECT_THROW(make_prune_method(options), Error);
  GraphModule module(hinted_model());
  module.tensor("w").detach()[0][0] = NAN;
  options.distribution = "uniform";
  EXPECT_THROW(train_with(module, options, 1), Error);
}

TEST(SparseGptStage, PrunesWhenTheStageBegins) {
  GraphModule module(hinted_model());
  PruneOptions options;
  options.method = "n_m_sparsegpt";
  EXPECT_GT(train_with(module, options, 3), 0.75);  // only two of the first four inputs may stay
  const at::Tensor mask = module.mask("w");
  ASSERT_TRUE(mask.defined());
  EXPECT_TRUE(at::equal(mask.t().reshape({-1, 4}).sum(1), at::full({6}, 2, at::kLong)));
}

TEST(ScoreStages, EveryMethodReachesItsTarget) {
  for (const std::string method : {"movement", "taylor", "snip", "grasp", "synflow", "hessian", "wanda"}) {
    GraphModule module(hinted_model());
    PruneOptions options;
    options.method = method;
    options.target_sparsity = 0.5;
    const double accuracy = train_with(module, options, 6);
    EXPECT_EQ(module.mask("w").sum().item<int64_t>(), 12) << method;
    // These begin with random weights, or never see the classes.
    const bool sees_classes = method != "synflow" && method != "wanda" && method != "grasp";
    EXPECT_GT(accuracy, sees_classes ? 0.9 : 0.5) << method;
  }
}

}  // namespace
}  // namespace mc
