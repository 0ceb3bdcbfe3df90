#include "mc/calibration/inverse_factor.h"

#include <tuple>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {

at::Tensor inverse_factor(const at::Tensor& hessian, double damping) {
  at::Tensor damped = hessian.to(at::kDouble).clone();
  at::Tensor diagonal = damped.diagonal(0, -2, -1);
  diagonal.masked_fill_(diagonal == 0, 1);
  diagonal.add_(damping * diagonal.mean(-1, /*keepdim=*/true));
  const auto [lower, info] = at::linalg_cholesky_ex(damped);
  MC_CHECK(info.eq(0).all().item<bool>(),
           "the Hessian of the inputs is not positive definite; raise the damping or give more samples");
  return at::linalg_cholesky(at::cholesky_inverse(lower), /*upper=*/true).contiguous();
}

}  // namespace mc
