#include <limits>

#include <ATen/ATen.h>

#include "mc/quantize/weight_methods.h"

namespace mc {
namespace {

constexpr int kAlphas = 20;

double awq_error(const std::vector<at::Tensor>& weights, const at::Tensor& factors, const at::Tensor& hessian,
                 const BlockGrid& grid) {
  double error = 0;
  for (const at::Tensor& weight : weights) {
    const at::Tensor rounded = dequantize_blocks(quantize_rtn(weight * factors, grid), grid) / factors;
    error += output_error(weight, rounded, hessian);
  }
  return error;
}

}  // namespace

at::Tensor awq_factors(const std::vector<at::Tensor>& weights, const InputStatistics& input,
                       const BlockGrid& grid) {
  const at::Tensor hessian = input.hessian.to(at::kFloat);
  // An input that was always 0 says nothing about its weights: it stays as it is.
  const at::Tensor magnitude =
      at::where(input.magnitude > 0, input.magnitude, at::ones_like(input.magnitude));
  at::Tensor best = at::ones_like(magnitude);
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kAlphas; ++i) {
    at::Tensor factors = magnitude.pow(static_cast<double>(i) / kAlphas).clamp_min(1e-4);
    factors = factors / (factors.max() * factors.min()).sqrt();
    const double error = awq_error(weights, factors.to(at::kFloat), hessian, grid);
    if (error >= least) continue;
    least = error;
    best = factors;
  }
  return best;
}

}  // namespace mc
