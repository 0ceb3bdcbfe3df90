// SparseGPT: which weights of a layer go, and what the others become to make up for them.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

namespace mc {

struct SparseGptOptions {
  double damping = 0.01;       // of the mean of the Hessian's diagonal
  int64_t mask_columns = 128;  // columns whose mask is chosen at once; M of an N:M pattern
};

// Chooses what to keep among columns [begin, begin + columns) from importance scores (double [groups, rows,
// columns], the error that removing each weight makes); bool of that shape, true keeps.
using ChooseColumns = std::function<at::Tensor(const at::Tensor& scores, int64_t begin)>;

struct SparseLayer {
  at::Tensor weight;  // as the one given; 0 where keep is false
  at::Tensor keep;    // bool
};

// E. Frantar and D. Alistarh, "SparseGPT: Massive language models can be accurately pruned in one-shot", ICML
// 2023, algorithm 1. `weight` is [groups, rows, inner] and `hessian` [groups, inner, inner]. Columns are
// treated one by one: every weight that goes is made up for by those of the columns that follow (the optimal
// brain surgeon's update, equation 3), whose error it is scored by: w^2 / [H^-1] of the columns not yet
// treated (section 3.3). A weight whose input was always 0 scores 0. Computed in double; updates of columns
// further than 128 away are made together. Throws Error when the damped Hessian is not positive definite or a
// weight or the Hessian holds NaN or infinity.
SparseLayer sparsegpt(const at::Tensor& weight, const at::Tensor& hessian, const ChooseColumns& choose,
                      const SparseGptOptions& options = {});

}  // namespace mc
