// Iterative magnitude pruning to 90 %, of a graph and of a plain LibTorch module, in an ordinary loop.
#include <cstdio>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include "example_data.h"
#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/prune/prune.h"

template <class Network>
bool prune_while_training(const char* what, Network& model, double lr) {
  mc::IterativePruningConfig config;
  config.pruning_fn = "unstructured_magnitude";
  config.pruning_fn_default_kwargs.target_sparsity = 0.9;
  config.policy_end_step = 80;
  mc::IterativePruningScheduler pruning_scheduler(model, config);

  model.train();
  torch::optim::SGD optimizer(model.parameters(), torch::optim::SGDOptions(lr).momentum(0.9));
  for (int step = 0; step < 120; ++step) {
    const auto [images, labels] = example_batch(64);
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(model.forward(images), labels).backward();
    optimizer.step();
    pruning_scheduler.step();
  }
  pruning_scheduler.remove_pruning();

  model.eval();
  at::NoGradGuard no_grad;
  const auto [images, labels] = example_batch(512);
  const double result = accuracy(model.forward(images), labels);
  std::printf("%s: sparsity %.3f, accuracy %.3f\n", what, pruning_scheduler.sparsity(), result);
  return pruning_scheduler.sparsity() > 0.89 && result > 0.9;
}

struct Mlp : torch::nn::Module {
  torch::nn::Sequential layers{torch::nn::Flatten(), torch::nn::Linear(256, 128), torch::nn::ReLU(),
                               torch::nn::Linear(128, 10)};
  Mlp() { register_module("layers", layers); }
  at::Tensor forward(const at::Tensor& x) { return layers->forward(x); }
};

int main() {
  at::manual_seed(1);
  mc::GraphModule graph(mc::build_model("resnet8", {.input_shape = {1, 16, 16}, .classes = 10}));
  Mlp plain;
  const bool graph_ok = prune_while_training("graph", graph, 0.05);
  const bool plain_ok = prune_while_training("torch::nn module", plain, 0.05);
  return graph_ok && plain_ok ? 0 : 1;
}
