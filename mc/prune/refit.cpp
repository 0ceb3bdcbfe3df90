#include "mc/prune/refit.h"

#include <ATen/ATen.h>

namespace mc {
namespace {

at::Tensor row_products(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/true);
}

// a / b, and 0 where b is: a row that has arrived.
at::Tensor safe_ratio(const at::Tensor& a, const at::Tensor& b) {
  return at::where(b > 0, a / b, at::zeros_like(a));
}

}  // namespace

at::Tensor refit(const at::Tensor& weight, const at::Tensor& start, const at::Tensor& keep,
                 const at::Tensor& hessian, const RefitOptions& options) {
  at::Tensor damped = hessian.to(at::kDouble).clone();
  at::Tensor diagonal = damped.diagonal(0, -2, -1);
  diagonal.masked_fill_(diagonal == 0, 1);
  diagonal.add_(options.damping * diagonal.mean(-1, /*keepdim=*/true));
  const at::Tensor allowed = keep.to(at::kDouble);
  const at::Tensor scale = allowed / diagonal.unsqueeze(-2);  // the preconditioner, within the mask
  at::Tensor result = start.to(at::kDouble) * allowed;
  at::Tensor residual = at::matmul(weight.to(at::kDouble) - result, damped) * allowed;
  at::Tensor direction = residual * scale;
  at::Tensor product = row_products(residual, direction);
  const double enough = options.tolerance * residual.norm().item<double>();
  for (int64_t i = 0; i < options.iterations && residual.norm().item<double>() > enough; ++i) {
    const at::Tensor image = at::matmul(direction, damped) * allowed;
    const at::Tensor step = safe_ratio(product, row_products(direction, image));
    result.add_(step * direction);
    residual.sub_(step * image);
    const at::Tensor scaled = residual * scale;
    const at::Tensor next = row_products(residual, scaled);
    direction = scaled + safe_ratio(next, product) * direction;
    product = next;
  }
  return result;
}

}  // namespace mc
