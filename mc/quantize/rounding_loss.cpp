#include "mc/quantize/rounding_loss.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <ATen/ATen.h>

namespace mc {
namespace {

constexpr double kStretch = kRoundingZeta - kRoundingGamma;

}  // namespace

at::Tensor rectified_sigmoid(const at::Tensor& v) {
  return at::clamp(at::sigmoid(v) * kStretch + kRoundingGamma, 0, 1);
}

at::Tensor inverse_rectified_sigmoid(const at::Tensor& h) {
  return at::logit((h - kRoundingGamma) / kStretch);
}

at::Tensor rounding_regularizer(const at::Tensor& v, double beta) {
  return (1 - (rectified_sigmoid(v) * 2 - 1).abs().pow(beta)).sum();
}

at::Tensor rounding_gradient(const at::Tensor& v, const at::Tensor& by_h, double strength, double beta) {
  const at::Tensor sigmoid = at::sigmoid(v);
  const at::Tensor centred = (sigmoid * kStretch + (kRoundingGamma - 0.5)).mul_(2);  // 2 h - 1, not clipped
  const at::Tensor distance = centred.abs();
  at::Tensor result = by_h;
  if (strength > 0) {
    result = by_h - distance.pow(beta - 1).mul_(centred.sign()).mul_(2 * strength * beta);
  }
  // h does not move where it is clipped.
  return at::where(distance < 1, result * (sigmoid - sigmoid.square()).mul_(kStretch),
                   at::zeros({}, v.options()));
}

double rounding_beta(double progress) {
  constexpr double kFrom = 20, kTo = 2;
  return kTo + (kFrom - kTo) * 0.5 * (1 + std::cos(std::clamp(progress, 0.0, 1.0) * std::numbers::pi));
}

}  // namespace mc
