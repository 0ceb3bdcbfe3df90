// The factor by which GPTQ and SparseGPT spread the error of one weight over those that follow.
#pragma once

#include <ATen/core/Tensor.h>

namespace mc {

// The upper Cholesky factor U of the inverse of the damped Hessian, (H + damping * mean(diag H) * I)^-1 =
// U^T U, of E. Frantar et al., "GPTQ", ICLR 2023, section 3.3. `hessian` is [..., n, n], symmetric; the
// result is double and contiguous. A diagonal element of 0 (an input that was always 0) counts as 1. Throws
// Error when the damped Hessian is not positive definite.
at::Tensor inverse_factor(const at::Tensor& hessian, double damping);

}  // namespace mc
