// What the weights that stay should be, given those that go.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace mc {

struct RefitOptions {
  double damping = 0.01;  // of the mean of the Hessian's diagonal, against moving far on few samples
  int64_t iterations = 50;
  double tolerance = 1e-5;  // of the residual's norm, to that at the start
};

// The least squares of a pruned layer: the weight v with v = 0 where `keep` is false that makes
// |X (w - v)|^2 + damping |w - v|^2 least, where the Hessian is 2 / rows * X^T X. By conjugate gradients with
// the Hessian's diagonal as preconditioner (Saad 2003, "Iterative methods for sparse linear systems",
// algorithm 9.1), for all rows at once; begins at `start`, and never ends with a larger error. `weight`,
// `start` and `keep` are [groups, rows, inner], `hessian` [groups, inner, inner]. double.
at::Tensor refit(const at::Tensor& weight, const at::Tensor& start, const at::Tensor& keep,
                 const at::Tensor& hessian, const RefitOptions& options = {});

}  // namespace mc
