// Fake quantization of a training step beside ATen's, in turns: 17.8 million activations (observe, quantize,
// backward) and 11.8 million weights with a scale for each of 512 output channels, as resnet18 has them at
// batch
// 32. Prints milliseconds (least of all rounds) and ratios. Usage: bench_fake_quantize [THREADS] [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "mc/ops/fake_quantize.h"
#include "mc/ops/fake_quantize_learned.h"

namespace {

struct Row {
  std::string name;
  std::function<void()> body;
  double best = std::numeric_limits<double>::infinity();
};

double milliseconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

mc::FakeQuantizeState state_like(const at::Tensor& low, const at::Tensor& high,
                                 const mc::FakeQuantizeOptions& options) {
  const auto [scale, zero] =
      mc::choose_qparams(low, high, options.quant_min, options.quant_max, options.symmetric);
  return {scale, zero, low.clone(), high.clone()};
}

// In turns, so that whatever else the machine does meets all of them.
void measure(std::vector<Row>& rows, int rounds, int tensors) {
  const auto all = [tensors](const std::function<void()>& one) {
    return [&one, tensors] {
      for (int i = 0; i < tensors; ++i) one();
    };
  };
  for (int round = 0; round < rounds; ++round) {
    for (Row& row : rows) row.best = std::min(row.best, milliseconds(all(row.body)));
  }
  for (const Row& row : rows) {
    std::printf("%-34s %8.1f ms   %5.2f x\n", row.name.c_str(), row.best, rows[0].best / row.best);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 2);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 15;
  at::manual_seed(0);

  const at::Tensor x = at::randn({32, 64, 16, 32}).requires_grad_(true);
  const at::Tensor grad = at::randn(x.sizes());
  mc::FakeQuantizeOptions activation;
  activation.quant_min = 0;
  activation.quant_max = 255;
  activation.symmetric = false;
  const mc::FakeQuantizeState state = state_like(at::full({1}, -5.0F), at::full({1}, 5.0F), activation);
  const auto scale = state.scale.item<float>();
  const int zero = state.zero_point.item<int>();
  const at::Tensor data = x.detach();
  at::Tensor mask, y;
  std::vector<Row> activations = {
      {"ATen: fake-quantize, backward",
       [&] {
         std::tie(y, mask) = at::fake_quantize_per_tensor_affine_cachemask(data, scale, zero, 0, 255);
         y = at::fake_quantize_per_tensor_affine_cachemask_backward(grad, mask);
       }},
      {"ATen: aminmax, the same",
       [&] {
         at::aminmax(data);
         std::tie(y, mask) = at::fake_quantize_per_tensor_affine_cachemask(data, scale, zero, 0, 255);
         y = at::fake_quantize_per_tensor_affine_cachemask_backward(grad, mask);
       }},
      {"ours: fake-quantize, backward",
       [&] { y = torch::autograd::grad({mc::fake_quantize(x, state, activation)}, {x}, {grad})[0]; }},
      {"ours: observe, the same",
       [&] {
         mc::observe(x, state, activation);
         y = torch::autograd::grad({mc::fake_quantize(x, state, activation)}, {x}, {grad})[0];
       }},
      {"copying twice", [&] { y = data.clone(), y = grad.clone(); }},
  };
  constexpr int kActivations = 17, kWeights = 5;
  std::printf("%.1f M activations\n", static_cast<double>(kActivations * x.numel()) / 1e6);
  measure(activations, rounds, kActivations);

  const at::Tensor w = at::randn({512, 4608}).requires_grad_(true);
  const at::Tensor w_grad = at::randn(w.sizes()), weights = w.detach();
  mc::FakeQuantizeOptions channels;
  channels.quant_min = -127;
  channels.quant_max = 127;
  channels.axis = 0;
  channels.averaging = 1;
  const mc::FakeQuantizeState by_channel =
      state_like(at::full({512}, -4.0F), at::full({512}, 4.0F), channels);
  mc::LearnedQuantizer learned{by_channel.scale.clone().requires_grad_(true), by_channel.zero_point, {}};
  const at::Tensor learned_scale = learned.scale.detach().clone(), no_zero = at::zeros({512});
  std::vector<Row> per_channel = {
      {"ATen: fake-quantize, backward",
       [&] {
         std::tie(y, mask) = at::fake_quantize_per_channel_affine_cachemask(
             weights, by_channel.scale, by_channel.zero_point, 0, -127, 127);
         y = at::fake_quantize_per_channel_affine_cachemask_backward(w_grad, mask);
       }},
      {"ours: fake-quantize, backward",
       [&] { y = torch::autograd::grad({mc::fake_quantize(w, by_channel, channels)}, {w}, {w_grad})[0]; }},
      {"ours: observe, the same",
       [&] {
         mc::observe(w, by_channel, channels);
         y = torch::autograd::grad({mc::fake_quantize(w, by_channel, channels)}, {w}, {w_grad})[0];
       }},
      {"ATen: learned scales, backward",
       [&] {
         y = at::_fake_quantize_learnable_per_channel_affine(weights, learned_scale, no_zero, 0, -127, 127);
         at::_fake_quantize_learnable_per_channel_affine_backward(w_grad, weights, learned_scale, no_zero, 0,
                                                                  -127, 127);
       }},
      {"ours: learned scales, backward",
       [&] {
         y = torch::autograd::grad({mc::learned_fake_quantize(w, learned, channels, false)},
                                   {w, learned.scale}, {w_grad})[0];
       }},
  };
  std::printf("%.1f M weights, %d channels\n", static_cast<double>(kWeights * w.numel()) / 1e6, 512);
  measure(per_channel, rounds, kWeights);
  return 0;
}
