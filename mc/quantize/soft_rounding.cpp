#include "mc/quantize/soft_rounding.h"

#include <cmath>

#include <ATen/ATen.h>

#include "mc/quantize/rounding_loss.h"

namespace mc {
namespace {

constexpr double kMeanDecay = 0.9, kSquareDecay = 0.999, kEpsilon = 1e-8;

}  // namespace

SoftRounding::SoftRounding(const WeightQuantizer& quantizer, at::Device device) {
  const at::NoGradGuard no_grad;
  const at::Tensor weight = quantizer.weight.to(device);
  const at::Tensor scale = quantizer.shaped(quantizer.state.scale).to(device);
  const at::Tensor zero = quantizer.shaped(quantizer.state.zero_point).to(device, at::kFloat);
  const at::Tensor low = static_cast<double>(quantizer.options.quant_min) - zero;
  const at::Tensor high = static_cast<double>(quantizer.options.quant_max) - zero;
  // As the quantizer computes it, so that both agree on every level.
  const at::Tensor scaled = weight * scale.reciprocal();
  const at::Tensor floor = scaled.floor();
  const at::Tensor moves =
      (floor >= low).logical_and_(floor < high).logical_and_(weight != 0).to(weight.scalar_type());
  movable_ = moves.sum(at::kLong).item<int64_t>();
  base_ = at::clamp(floor, low, high) * scale;
  gain_ = moves * scale;
  nearest_ = at::clamp(scaled.round(), low, high) * scale;
  v_ = inverse_rectified_sigmoid(scaled - floor);
  mean_ = at::zeros_like(v_);
  square_ = at::zeros_like(v_);
}

at::Tensor SoftRounding::soft() const {
  return at::addcmul(base_, gain_, rectified_sigmoid(v_));
}

at::Tensor SoftRounding::hard() const {
  return at::addcmul(base_, gain_, (v_ >= 0).to(base_.scalar_type()));  // h(0) = 1 / 2
}

void SoftRounding::step(const at::Tensor& by_weight, double learning_rate, double strength, double beta) {
  const at::Tensor gradient = rounding_gradient(v_, by_weight * gain_, strength, beta);
  ++steps_;
  const double mean_bias = 1 - std::pow(kMeanDecay, static_cast<double>(steps_));
  const double square_bias = 1 - std::pow(kSquareDecay, static_cast<double>(steps_));
  mean_.lerp_(gradient, 1 - kMeanDecay);
  square_.mul_(kSquareDecay).addcmul_(gradient, gradient, 1 - kSquareDecay);
  v_.addcdiv_(mean_, (square_ / square_bias).sqrt_().add_(kEpsilon), -learning_rate / mean_bias);
}

}  // namespace mc
