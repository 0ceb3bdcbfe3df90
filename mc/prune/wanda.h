// Wanda's importance of weights.
#pragma once

#include <ATen/core/Tensor.h>

namespace mc {

// M. Sun et al., "A simple and effective pruning approach for large language models", ICLR 2024, equation 1:
// |w| times the norm of its input over all samples. `weight` is [groups, rows, inner]; `square` [groups,
// inner] is the mean of squared inputs, whose root is that norm up to a factor that no comparison within a
// layer sees. Scores are compared within a row (section 3, "comparison group").
at::Tensor wanda_scores(const at::Tensor& weight, const at::Tensor& square);

}  // namespace mc
