#include "mc/train/optimizer.h"

#include <gmock/gmock.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "mc/train/optimizers.h"
#include "tests/train/training.h"

namespace mc::testing {
namespace {

using ::testing::HasSubstr;

// Parameters with the module's values, in the two groups that our optimizers make.
struct Twin {
  std::map<std::string, at::Tensor> tensors;
  std::vector<at::Tensor> matrices, vectors;

  explicit Twin(const GraphModule& module) {
    for (const std::string& name : module.names(Role::kWeight)) {
      at::Tensor copy = module.tensor(name).detach().clone().set_requires_grad(true);
      tensors[name] = copy;
      (copy.dim() > 1 ? matrices : vectors).push_back(copy);
    }
  }
};

void set_gradients(GraphModule& module, Twin& twin, uint64_t step) {
  uint64_t seed = 100 * step;
  for (auto& [name, tensor] : twin.tensors) {
    at::Tensor gradient = random_tensor(tensor.sizes(), ++seed);
    tensor.mutable_grad() = gradient.clone();
    module.tensor(name).mutable_grad() = gradient;
  }
}

template <class TorchOptimizer, class TorchOptions>
std::unique_ptr<TorchOptimizer> torch_optimizer(Twin& twin, TorchOptions options, double weight_decay) {
  auto group = [&](std::vector<at::Tensor> tensors, double decay) {
    return torch::optim::OptimizerParamGroup(
        std::move(tensors), std::make_unique<TorchOptions>(TorchOptions(options).weight_decay(decay)));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.push_back(group(twin.matrices, weight_decay));
  groups.push_back(group(twin.vectors, 0));
  return std::make_unique<TorchOptimizer>(std::move(groups), options);
}

template <class TorchOptions>
void expect_same_path(GraphModule& module, Optimizer& ours, Twin& twin, torch::optim::Optimizer& theirs) {
  for (uint64_t step = 1; step <= 6; ++step) {
    double lr = 0.1 / static_cast<double>(step);
    set_gradients(module, twin, step);
    for (auto& group : theirs.param_groups()) static_cast<TorchOptions&>(group.options()).lr(lr);
    theirs.step();
    ours.step(lr);
    for (const auto& [name, tensor] : twin.tensors) {
      EXPECT_TRUE(at::allclose(module.tensor(name), tensor, 1e-5, 1e-6)) << name << " at step " << step;
    }
  }
}

TEST(Sgd, EqualsTorchInEveryVariant) {
  for (double momentum : {0.0, 0.9}) {
    for (bool nesterov : {false, true}) {
      GraphModule module(mlp());
      Twin twin(module);
      bool torch_nesterov = nesterov && momentum > 0;
      auto theirs = torch_optimizer<torch::optim::SGD>(
          twin, torch::optim::SGDOptions(0.1).momentum(momentum).nesterov(torch_nesterov), 0.05);
      auto ours = make_optimizer(SgdOptions{.momentum = momentum, .weight_decay = 0.05, .nesterov = nesterov},
                                 module);
      expect_same_path<torch::optim::SGDOptions>(module, *ours, twin, *theirs);
    }
  }
}

TEST(Adam, EqualsTorchWithBothKindsOfDecay) {
  {
    GraphModule module(mlp());
    Twin twin(module);
    auto theirs = torch_optimizer<torch::optim::AdamW>(twin, torch::optim::AdamWOptions(0.1), 0.2);
    AdamWOptions options;
    options.weight_decay = 0.2;
    expect_same_path<torch::optim::AdamWOptions>(module, *make_optimizer(options, module), twin, *theirs);
  }
  GraphModule module(mlp());
  Twin twin(module);
  auto theirs = torch_optimizer<torch::optim::Adam>(twin, torch::optim::AdamOptions(0.1), 0.2);
  AdamOptions options;
  options.weight_decay = 0.2;
  expect_same_path<torch::optim::AdamOptions>(module, *make_optimizer(options, module), twin, *theirs);
}

// b = 0.9 b + g and w -= lr (g + 0.9 b), by hand for one number.
TEST(Sgd, FollowsTheFormulaOfNesterovMomentum) {
  GraphModule module(mlp());
  auto optimizer = make_optimizer(SgdOptions{.weight_decay = 0}, module);
  at::Tensor bias = module.tensor("b2");
  bias.mutable_grad() = at::full({kClasses}, 2.0);
  optimizer->step(0.1);
  EXPECT_NEAR(bias[0].item<double>(), -0.1 * (2 + 0.9 * 2), 1e-6);
  optimizer->step(0.1);
  double momentum = 0.9 * 2 + 2;
  EXPECT_NEAR(bias[0].item<double>(), -0.38 - 0.1 * (2 + 0.9 * momentum), 1e-6);
}

TEST(Optimizer, DecaysVectorsOnlyWhenAsked) {
  for (bool decay : {false, true}) {
    GraphModule module(mlp());
    auto optimizer =
        make_optimizer(SgdOptions{.momentum = 0, .weight_decay = 0.5, .decay_norm_and_bias = decay}, module);
    for (const char* name : {"scale", "w1"})
      module.tensor(name).mutable_grad() = at::zeros_like(module.tensor(name)).detach();
    double before = module.tensor("w1")[0][0].item<double>();
    optimizer->step(1);
    EXPECT_NEAR(module.tensor("scale")[0].item<double>(), decay ? 0.5 : 1, 1e-7);
    EXPECT_NEAR(module.tensor("w1")[0][0].item<double>(), 0.5 * before, 1e-7);
  }
}

TEST(Optimizer, LeavesParametersWithoutGradientAloneAndForgetsGradients) {
  GraphModule module(mlp());
  auto optimizer = make_optimizer(AdamWOptions{}, module);
  auto before = copied_state(module);
  module.tensor("w1").mutable_grad() = at::ones({kHidden, kFeatures});
  optimizer->step(0.1);
  EXPECT_FALSE(at::equal(module.tensor("w1"), before["w1"]));
  EXPECT_TRUE(at::equal(module.tensor("w2"), before["w2"]));
  optimizer->zero_grad();
  EXPECT_FALSE(module.tensor("w1").grad().defined());
}

// The fused kernels walk memory: a gradient in another layout must not be taken for one in the same.
TEST(Optimizer, TakesGradientsOfAnyLayout) {
  GraphModule module(mlp());
  auto optimizer = make_optimizer(SgdOptions{.momentum = 0, .weight_decay = 0}, module);
  at::Tensor gradient = random_tensor({kFeatures, kHidden}, 4).t();
  at::Tensor expected = module.tensor("w1").detach() - 0.5 * gradient;
  module.tensor("w1").mutable_grad() = gradient;
  optimizer->step(0.5);
  EXPECT_TRUE(at::allclose(module.tensor("w1"), expected));
}

// By the version a module knows that its folded weights are out of date.
TEST(Optimizer, BumpsTheVersionOfWhatItChanges) {
  GraphModule module(mlp());
  auto optimizer = make_optimizer(SgdOptions{}, module);
  at::Tensor weight = module.tensor("w1");
  weight.mutable_grad() = at::ones_like(weight).detach();
  auto version = weight._version();
  optimizer->step(0.1);
  EXPECT_GT(weight._version(), version);
}

TEST(Optimizer, MultiTensorKernelsEqualTheFusedOnes) {
  GraphModule module(mlp());
  SgdOptions sgd{.weight_decay = 0.1};
  auto optimizer = make_optimizer(sgd, module);
  std::vector<at::Tensor> twin = {module.tensor("w1").detach().clone()};
  std::vector<at::Tensor> momenta = {at::zeros_like(twin[0])};
  for (uint64_t step = 1; step <= 3; ++step) {
    at::Tensor gradient = random_tensor({kHidden, kFeatures}, step);
    module.tensor("w1").mutable_grad() = gradient;
    optimizer->step(0.1);
    sgd_multi_tensor(twin, {gradient}, momenta, sgd.weight_decay, sgd.momentum, sgd.nesterov, 0.1);
  }
  EXPECT_TRUE(at::allclose(module.tensor("w1"), twin[0], 1e-5, 1e-6));

  for (Decay decay : {Decay::kGradient, Decay::kDecoupled}) {
    GraphModule other(mlp());
    AdamWOptions adam;
    adam.weight_decay = 0.3;
    auto fused = make_adam(adam, decay, other);
    std::vector<at::Tensor> value = {other.tensor("w1").detach().clone()};
    std::vector<at::Tensor> first = {at::zeros_like(value[0])}, second = {at::zeros_like(value[0])};
    for (uint64_t step = 1; step <= 3; ++step) {
      at::Tensor gradient = random_tensor({kHidden, kFeatures}, step);
      other.tensor("w1").mutable_grad() = gradient;
      fused->step(0.1);
      adam_multi_tensor(value, {gradient}, first, second, {at::scalar_tensor(static_cast<double>(step))},
                        adam, adam.weight_decay, decay, 0.1);
    }
    EXPECT_TRUE(at::allclose(other.tensor("w1"), value[0], 1e-5, 1e-6));
  }
}

TEST(Optimizer, FollowsCutsRenamesAndRemovals) {
  GraphModule module(mlp());
  auto optimizer = make_optimizer(SgdOptions{}, module);
  Twin twin(module);
  set_gradients(module, twin, 1);
  optimizer->step(0.1);
  auto before = optimizer->save();
  std::vector<int64_t> kept = {0, 3, 5};
  module.edit([&](Edit& edit) {
    for (const char* name : {"w1", "b1", "scale", "shift", "mean", "variance"}) edit.slice(name, 0, kept);
    edit.slice("w2", 1, kept);
    // b2 gets another name.
    Tensor bias = edit.model.graph.initializer("b2")->tensor;
    edit.model.graph.erase_initializer("b2");
    edit.model.graph.add_initializer("bias2", bias);
    edit.model.graph.replace_uses("b2", "bias2");
    edit.renames["bias2"] = "b2";
  });
  auto after = optimizer->save();
  at::Tensor index = at::tensor(kept);
  EXPECT_TRUE(at::equal(after.at("momentum/w1"), before.at("momentum/w1").index_select(0, index)));
  EXPECT_TRUE(at::equal(after.at("momentum/w2"), before.at("momentum/w2").index_select(1, index)));
  EXPECT_TRUE(at::equal(after.at("momentum/bias2"), before.at("momentum/b2")));
  EXPECT_FALSE(after.contains("momentum/b2"));
  at::Tensor bias = module.tensor("bias2");
  bias.mutable_grad() = at::zeros({kClasses});
  at::Tensor expected = bias.detach() - 0.1 * 0.81 * before.at("momentum/b2");
  optimizer->step(0.1);
  EXPECT_TRUE(at::allclose(bias, expected, 1e-5, 1e-6));
}

TEST(Optimizer, LoadsWhatItSaved) {
  GraphModule module(mlp()), other(mlp());
  auto optimizer = make_optimizer(AdamWOptions{}, module),
       twin_optimizer = make_optimizer(AdamWOptions{}, other);
  Twin gradients(module);
  set_gradients(module, gradients, 1);
  optimizer->step(0.1);
  other.load_state(copied_state(module));
  twin_optimizer->load(optimizer->save());
  set_gradients(module, gradients, 2);
  set_gradients(other, gradients, 2);
  optimizer->step(0.1);
  twin_optimizer->step(0.1);
  expect_equal_states(module.state(), other.state());
}

TEST(Optimizer, RefusesStateThatDoesNotFit) {
  GraphModule module(mlp());
  auto optimizer = make_optimizer(SgdOptions{}, module);
  EXPECT_THAT(
      error_of([&] { optimizer->load({{"momentum/w3", at::zeros({2})}}); }),
      HasSubstr(
          "'momentum/w3' fits no parameter of this module and optimizer (did you mean 'momentum/w1'?)"));
  EXPECT_THAT(error_of([&] { optimizer->load({{"momentum/w1", at::zeros({2, 2})}}); }),
              HasSubstr("'momentum/w1' has shape 2x2, its parameter needs 16x6"));
  auto adam = make_optimizer(AdamWOptions{}, module);
  EXPECT_THAT(error_of([&] { adam->load({{"first_moment/b2", at::zeros({kClasses})}}); }),
              HasSubstr("the optimizer state of 'b2' is incomplete"));
}

}  // namespace
}  // namespace mc::testing
