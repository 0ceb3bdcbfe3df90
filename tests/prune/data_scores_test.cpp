#include "mc/prune/data_scores.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "mc/prune/synflow.h"
#include "mc/prune/wanda.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

std::vector<PrunedWeight> weights_of(torch::nn::Module& module) {
  std::vector<PrunedWeight> weights;
  for (const ParameterView& view : parameter_views(module)) {
    if (view.tensor.dim() > 1) weights.push_back({view.name, view.tensor, {}, weight_axes(view)});
  }
  return weights;
}

// Batches of inputs, with a loss of each.
ScoreContext context_of(torch::nn::Module& module, const std::vector<at::Tensor>& batches,
                        const std::function<at::Tensor(int64_t)>& loss) {
  return {module,
          weights_of(module),
          {static_cast<int64_t>(batches.size()),
           [batches](int64_t i) { return std::vector<at::Tensor>{batches[static_cast<size_t>(i)]}; }, loss}};
}

// y = x w^T with the loss |y - t|^2 / 2N: the gradient is (x w^T - t)^T x / N, the Hessian x^T x / N a row.
struct LinearProblem {
  torch::nn::Linear layer{torch::nn::LinearOptions(4, 3).bias(false)};
  std::vector<at::Tensor> x, t;

  explicit LinearProblem(int batches) {
    at::manual_seed(1);
    layer->weight.detach().copy_(at::randn({3, 4}));
    for (int i = 0; i < batches; ++i) {
      x.push_back(at::randn({10, 4}));
      t.push_back(at::randn({10, 3}));
    }
  }
  ScoreContext context() {
    return context_of(*layer, x, [this](int64_t i) {
      const auto at = static_cast<size_t>(i);
      return (layer->forward(x[at]) - t[at]).square().sum() / 20;
    });
  }
  at::Tensor weight() const { return layer->weight.detach(); }
  at::Tensor gradient(size_t i) const {
    return at::matmul((at::matmul(x[i], weight().t()) - t[i]).t(), x[i]) / 10;
  }
};

constexpr const char* kTwoLayers = R"(
  <ir_version: 8, opset_import: ["" : 17]>
  net (float[N,5] x) => (float[N,3] y)
  { h = MatMul (x, "fc1")  a = Relu (h)  y = MatMul (a, "fc2") })";

Model scored_layers() {
  at::manual_seed(3);
  Model model = parse_model(kTwoLayers);
  model.graph.add_initializer("fc1", to_constant(at::randn({5, 6})));
  model.graph.add_initializer("fc2", to_constant(at::randn({6, 3})));
  return model;
}

TEST(SnipScore, IsTheShareOfGradientTimesWeight) {
  LinearProblem problem(2);
  const at::Tensor product = ((problem.gradient(0) + problem.gradient(1)) / 2 * problem.weight()).abs();
  const ScoreContext context = problem.context();
  const at::Tensor score = make_snip_score()->compute(context)[0].values;
  EXPECT_TRUE(at::allclose(score, product / product.sum(), 1e-4, 1e-6));
  EXPECT_FALSE(problem.layer->weight.grad().defined());
}

TEST(HessianScore, IsHalfTheFisherDiagonalTimesTheSquaredWeight) {
  LinearProblem problem(3);
  at::Tensor fisher = at::zeros({3, 4});
  for (size_t i = 0; i < 3; ++i) fisher += problem.gradient(i).square() / 3;
  const at::Tensor score = make_hessian_score()->compute(problem.context())[0].values;
  EXPECT_TRUE(at::allclose(score, fisher * problem.weight().square() / 2, 1e-4, 1e-6));
}

TEST(GraspScore, IsWeightTimesHessianTimesGradient) {
  LinearProblem problem(2);
  const at::Tensor gradient = (problem.gradient(0) + problem.gradient(1)) / 2;
  const at::Tensor hessian =
      (at::matmul(problem.x[0].t(), problem.x[0]) + at::matmul(problem.x[1].t(), problem.x[1])) / 20;
  const at::Tensor expected = problem.weight() * at::matmul(gradient, hessian);
  EXPECT_TRUE(at::allclose(make_grasp_score()->compute(problem.context())[0].values, expected, 1e-4, 1e-5));
  // A quadratic has no error of differences but that of rounding.
  const at::Tensor differences = make_grasp_score(true)->compute(problem.context())[0].values;
  EXPECT_TRUE(at::allclose(differences, expected, 2e-2, 2e-3));
}

TEST(GraspScore, DifferencesAgreeWithASecondDerivativeAndPutWeightsBack) {
  GraphModule module(parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]> net (float[N,5] x) => (float[N,3] y)
    <float[5,3] w = {1,-2,0.5,0.25,1,-1,2,0.75,-0.5,1,-1,0.5,-0.25,2,1}> { h = MatMul (x, w)  y = Tanh (h) })"));
  at::manual_seed(4);
  const at::Tensor x = at::randn({40, 5}) / 2, labels = at::randint(0, 3, {40}, at::kLong);
  const auto loss = [&](int64_t) { return at::cross_entropy_loss(module.forward(x), labels); };
  const at::Tensor before = module.tensor("w").detach().clone();
  const at::Tensor exact = make_grasp_score()->compute(context_of(module, {x}, loss))[0].values;
  const at::Tensor near = make_grasp_score(true)->compute(context_of(module, {x}, loss))[0].values;
  EXPECT_LT((exact - near).norm().item<float>(), 0.02 * exact.norm().item<float>());
  EXPECT_TRUE(at::equal(module.tensor("w"), before));
}

TEST(TaylorScore, AveragesSquaresOverStepsAndFallsBackToSamples) {
  LinearProblem problem(2);
  const ScoreContext context = problem.context();
  const at::Tensor squares = problem.weight().square();
  const at::Tensor first = problem.gradient(0).square() * squares;
  const at::Tensor second = problem.gradient(1).square() * squares;
  auto score = make_taylor_score();
  EXPECT_TRUE(at::allclose(score->compute(context)[0].values, (first + second) / 2, 1e-4, 1e-6));
  for (int64_t i = 0; i < 2; ++i) {
    problem.layer->weight.mutable_grad() = at::Tensor();
    context.data.loss(i).backward();
    score->after_backward(context);
  }
  EXPECT_TRUE(at::allclose(score->compute(context)[0].values, 0.9 * first + 0.1 * second, 1e-4, 1e-6));
  auto resumed = make_taylor_score();
  resumed->load(score->save());
  EXPECT_TRUE(at::equal(resumed->compute(context)[0].values, score->compute(context)[0].values));
}

TEST(MovementScore, SumsMinusGradientTimesWeight) {
  LinearProblem problem(2);
  const ScoreContext context = problem.context();
  auto score = make_movement_score();
  EXPECT_THROW(score->compute(context), Error);
  at::Tensor expected = at::zeros({3, 4});
  for (size_t i = 0; i < 2; ++i) {
    expected -= problem.gradient(i) * problem.weight();
    problem.layer->weight.mutable_grad() = at::Tensor();
    context.data.loss(static_cast<int64_t>(i)).backward();
    score->after_backward(context);
    at::NoGradGuard no_grad;
    problem.layer->weight.mul_(0.5);
  }
  EXPECT_TRUE(at::allclose(score->compute(context)[0].values, expected, 1e-4, 1e-5));
  auto resumed = make_movement_score();
  resumed->load(score->save());
  EXPECT_TRUE(at::equal(resumed->compute(context)[0].values, score->compute(context)[0].values));
}

TEST(DataScores, NeedSamplesAndALossThatDependsOnTheWeights) {
  LinearProblem problem(1);
  ScoreContext none = problem.context();
  none.data = {};
  for (const auto& make : {make_snip_score, make_hessian_score, make_wanda_score}) {
    EXPECT_THROW(make()->begin(none), Error);
  }
  EXPECT_THROW(make_grasp_score()->begin(none), Error);
  EXPECT_THROW(make_taylor_score()->compute(none), Error);
  ScoreContext constant = problem.context();
  constant.data.loss = [](int64_t) { return at::ones({}); };
  EXPECT_THROW(make_snip_score()->compute(constant), Error);
  ScoreContext broken = problem.context();
  broken.data.loss = [&](int64_t) { return problem.layer->weight.sum() * NAN; };
  try {
    make_snip_score()->compute(broken);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("weight"));
    EXPECT_THAT(error.what(), HasSubstr("NaN"));
  }
}

TEST(DataScores, RunningStatisticsStayAsTheyWere) {
  GraphModule module(parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]> net (float[N,2,4] x) => (float y)
    <float[2,2,1] w = {1,-2,0.5,3}, float[2] s = {1,1}, float[2] b = {0,0}, float[2] m = {0,0}, float[2] v = {1,1}>
    { h = Conv (x, w)  y = BatchNormalization (h, s, b, m, v) })"));
  module.train();
  const at::Tensor x = at::randn({6, 2, 4});
  const auto loss = [&](int64_t) { return module.forward(x).pow(3).mean(); };
  make_snip_score()->compute(context_of(module, {x}, loss));
  EXPECT_EQ(module.tensor("m").abs().max().item<float>(), 0);
  EXPECT_TRUE(at::equal(module.tensor("v"), at::ones({2})));
}

// Section 4 of the paper: in a network without biases every layer carries the whole flow.
TEST(Synflow, ConservesTheFlowOverLayers) {
  GraphModule module(scored_layers());
  const at::Tensor one = module.tensor("fc1").detach().clone(), two = module.tensor("fc2").detach().clone();
  const std::vector<at::Tensor> flow = synaptic_flow(module, {"fc1", "fc2"}, {at::ones({1, 5})});
  const double whole = at::matmul(at::ones({1, 5}), at::matmul(one.abs(), two.abs())).sum().item<double>();
  EXPECT_NEAR(flow[0].sum().item<double>(), whole, 1e-4 * whole);
  EXPECT_NEAR(flow[1].sum().item<double>(), whole, 1e-4 * whole);
  EXPECT_TRUE(at::allclose(flow[0], one.abs() * two.abs().sum(1), 1e-4, 1e-5));
  EXPECT_TRUE(at::equal(module.tensor("fc1"), one));
  EXPECT_TRUE(at::equal(module.tensor("fc2"), two));
}

// The flow of two linear layers is |w1_ij| * sum_k |w2_jk|; the paper's algorithm with these, in plain loops.
TEST(SynflowScore, IsTheOrderInWhichTheAlgorithmRemoves) {
  GraphModule module(scored_layers());
  at::Tensor one = module.tensor("fc1").detach().abs().clone(),
             two = module.tensor("fc2").detach().abs().clone();
  const ScoreContext context = context_of(module, {}, {});
  const std::vector<ScoreTensor> scores = make_synflow_score()->compute(context);
  const at::Tensor order = at::cat({scores[0].values.flatten(), scores[1].values.flatten()});
  int64_t gone = 0;
  for (double density = 0.95; density > 0.15; density *= 0.95) {
    const at::Tensor flow1 = one * two.sum(1), flow2 = two * one.sum(0).unsqueeze(1);
    const at::Tensor flow = at::cat({flow1.flatten(), flow2.flatten()});
    at::Tensor alive = at::cat({one.flatten(), two.flatten()}).gt(0);
    for (const int64_t until = 48 - std::llround(48 * density); gone < until; ++gone) {
      // The two ends of a lone path have one flow, so that the least is not always one element.
      const double least = at::where(alive, flow, at::full({}, INFINITY)).min().item<double>();
      const int64_t next = order.eq(static_cast<double>(gone + 1)).nonzero().item<int64_t>();
      EXPECT_NEAR(flow[next].item<double>(), least, 1e-4 * least) << "removal " << gone;
      alive[next] = false;
    }
    one.mul_(alive.slice(0, 0, 30).view({5, 6}));
    two.mul_(alive.slice(0, 30).view({6, 3}));
  }
  EXPECT_GT(gone, 35);
}

TEST(SynflowScore, WhatIsMaskedGoesFirstAndOnlyGraphsCanBeRun) {
  GraphModule module(scored_layers());
  ScoreContext context = context_of(module, {}, {});
  context.weights[0].mask = at::ones({5, 6}, at::kBool);
  context.weights[0].mask[2] = false;
  const std::vector<ScoreTensor> scores = make_synflow_score()->compute(context);
  EXPECT_EQ(scores[0].values[2].max().item<double>(), 0);
  EXPECT_EQ(scores[0].values.eq(0).sum().item<int64_t>(), 6);
  torch::nn::Linear plain(3, 2);
  EXPECT_THROW(make_synflow_score()->begin(context_of(*plain, {}, {})), Error);
  EXPECT_THROW(make_wanda_score()->begin(context_of(*plain, {at::ones({2, 3})}, {})), Error);
}

TEST(Synflow, SaysWhereTheFlowLeavesTheRangeAndWhichDimensionIsOpen) {
  GraphModule module(scored_layers());
  {
    at::NoGradGuard no_grad;
    module.tensor("fc1").fill_(1e30F);
    module.tensor("fc2").fill_(1e30F);
  }
  EXPECT_THROW(make_synflow_score()->compute(context_of(module, {}, {})), Error);
  GraphModule open(parse_model(R"(<ir_version: 8, opset_import: ["" : 17]> net (float[N,C,L] x) => (float y)
    <float[1,2,1] w = {1, -2}> { y = Conv (x, w) })"));
  EXPECT_THROW(ones_for(open, {}), Error);
  EXPECT_EQ(ones_for(open, {at::zeros({7, 2, 4})})[0].sizes(), (std::vector<int64_t>{1, 2, 4}));
}

TEST(Wanda, IsWeightTimesTheNormOfItsInput) {
  const at::Tensor weight = at::tensor({1.0F, -2.0F, 3.0F, -4.0F}).view({1, 2, 2});
  const at::Tensor square = at::tensor({9.0F, 0.25F}).view({1, 2});
  const at::Tensor expected = at::tensor({3.0F, 1.0F, 9.0F, 2.0F}).view({1, 2, 2});
  EXPECT_TRUE(at::allclose(wanda_scores(weight, square), expected));
}

TEST(WandaScore, RanksWithinTheRowsOfEachOutput) {
  GraphModule module(scored_layers());
  const at::Tensor x = at::randn({20, 5}) * at::tensor({1.0F, 5.0F, 0.1F, 2.0F, 1.0F});
  const at::Tensor y = at::randn({9, 5});
  const std::vector<ScoreTensor> scores = make_wanda_score()->compute(context_of(module, {x, y}, {}));
  const at::Tensor norm = at::cat({x, y}).norm(2, 0);
  const at::Tensor importance = module.tensor("fc1").detach().abs() * norm.unsqueeze(1);  // [in, out]
  for (int64_t out = 0; out < 6; ++out) {
    const at::Tensor order = importance.select(1, out).argsort(int64_t{0});
    for (int64_t rank = 0; rank < 5; ++rank) {
      const int64_t in = order[rank].item<int64_t>();
      EXPECT_DOUBLE_EQ(scores[0].values[in][out].item<double>(), static_cast<double>(rank) / 5);
    }
  }
}

}  // namespace
}  // namespace mc
