// Blocks of a weight as elements of a smaller tensor, and back. Internal.
#pragma once

#include <ATen/core/Tensor.h>

#include "mc/prune/structure.h"

namespace mc {

// The mean or largest of the elements that each block has. The axes are those of the weight.
at::Tensor pool_blocks(const at::Tensor& values, const Blocks& blocks, const WeightAxes& axes);

// Each element of `pooled` in all places of its block; laid out in memory as `like`.
at::Tensor expand_blocks(const at::Tensor& pooled, const at::Tensor& like, const Blocks& blocks,
                         const WeightAxes& axes);

// Elements of a block along each axis of a weight of `rank` axes.
std::vector<int64_t> block_shape(const Blocks& blocks, int64_t rank, const WeightAxes& axes);

}  // namespace mc
