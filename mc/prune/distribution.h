// How a sparsity of all weights together is spread over them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

// Erdos-Renyi: the density of a weight is in proportion to (out + in) / (out * in) (Mocanu et al. 2018,
// "Scalable training of artificial neural networks with adaptive sparse connectivity"), or with a kernel to
// the sum of all its dims over their product (Evci et al. 2020, "Rigging the Lottery", section 3). Weights
// that would be more than dense stay dense. `dims`: of each weight, [out, in, kernel...] in any order for
// `kernel`, else the first two count. Gives the sparsity of each; together they are `sparsity`. Throws Error
// where there is no weight, or `sparsity` is not in [0, 1).
std::vector<double> erdos_renyi(const std::vector<std::vector<int64_t>>& dims, double sparsity, bool kernel);

// What a weight costs at some sparsities, by itself: pairs in order of sparsity, the first at 0.
struct SensitivityCurve {
  int64_t elements = 0;
  std::vector<double> sparsities;
  std::vector<double> losses;
};

// The sparsity of each weight that makes the sum of the losses small while all together lose `sparsity` of
// their elements: step by step the weight moves on whose next point costs least a pruned element (Everett
// 1963, generalized Lagrange multipliers, on the lower convex hulls of the curves), and the last move is cut
// to the elements that are still needed. Throws Error where the curves do not reach so far.
std::vector<double> allocate_sparsity(const std::vector<SensitivityCurve>& curves, double sparsity);

}  // namespace mc
