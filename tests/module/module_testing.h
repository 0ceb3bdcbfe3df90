// A small convolutional network as a graph and as plain LibTorch modules with the same weights.
#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"

namespace mc::testing {

inline void add_tensor(Model& model, const std::string& name, const at::Tensor& value) {
  model.graph.set_initializer(name, to_constant(value.clone()));
}

// stem -> bn -> relu -> body (stride 2) -> mean over the map -> head
inline constexpr const char* kSmallCnn = R"(
<ir_version: 10, opset_import: ["" : 17]>
cnn (float[batch,3,8,8] image) => (float[batch,5] logits) {
  [stem] stem_out = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (image, "stem.weight")
  [bn] bn_out = BatchNormalization <epsilon = 1e-05, momentum = 0.9> (stem_out, "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
  [relu] relu_out = Relu (bn_out)
  [body] body_out = Conv <kernel_shape = [3,3], pads = [1,1,1,1], strides = [2,2]> (relu_out, "body.weight", "body.bias")
  [pool] pool_out = GlobalAveragePool (body_out)
  [flatten] flat = Flatten <axis = 1> (pool_out)
  [head] logits = Gemm <transB = 1> (flat, "head.weight", "head.bias")
})";

// The same with LibTorch's own modules: an independent reference.
struct SmallCnnImpl : torch::nn::Module {
  torch::nn::Conv2d stem{torch::nn::Conv2dOptions(3, 6, 3).padding(1).bias(false)};
  torch::nn::BatchNorm2d bn{6};
  torch::nn::Conv2d body{torch::nn::Conv2dOptions(6, 4, 3).padding(1).stride(2)};
  torch::nn::Linear head{4, 5};

  SmallCnnImpl() {
    register_module("stem", stem);
    register_module("bn", bn);
    register_module("body", body);
    register_module("head", head);
  }
  at::Tensor forward(const at::Tensor& image) {
    const at::Tensor map = body(at::relu(bn(stem(image))));
    return head(map.mean({2, 3}));
  }
};

inline Model small_cnn_model(const torch::nn::Module& reference) {
  Model model = parse_model(kSmallCnn);
  for (const auto& item : reference.named_parameters()) add_tensor(model, item.key(), item.value().detach());
  add_tensor(model, "bn.running_mean", reference.named_buffers()["bn.running_mean"]);
  add_tensor(model, "bn.running_var", reference.named_buffers()["bn.running_var"]);
  return model;
}

// Statistics and scales that are not the identity, so that folding has something to do.
inline std::shared_ptr<SmallCnnImpl> small_cnn(uint64_t seed = 1) {
  at::manual_seed(seed);
  auto reference = std::make_shared<SmallCnnImpl>();
  const at::NoGradGuard no_grad;
  reference->bn->weight.uniform_(0.5, 1.5);
  reference->bn->bias.uniform_(-0.5, 0.5);
  reference->bn->running_mean.uniform_(-0.5, 0.5);
  reference->bn->running_var.uniform_(0.5, 1.5);
  return reference;
}

inline at::Tensor random_images(int64_t count, uint64_t seed = 7) {
  at::manual_seed(seed);
  return at::randn({count, 3, 8, 8});
}

inline void sgd_step(torch::nn::Module& module, double lr) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters()) {
    parameter.sub_(parameter.grad(), lr);
    parameter.mutable_grad().reset();
  }
}

inline double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return INFINITY;
  return a.numel() == 0 ? 0 : (a.detach() - b.detach()).abs().max().item<double>();
}

}  // namespace mc::testing
