#include "mc/prune/blocks.h"

#include <limits>

#include <ATen/ATen.h>

namespace mc {

std::vector<int64_t> block_shape(const Blocks& blocks, int64_t rank, const WeightAxes& axes) {
  std::vector<int64_t> order = {axes.input};  // in which block_dims names the axes
  if (axes.output != axes.input) order.push_back(axes.output);
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (axis != axes.input && axis != axes.output) order.push_back(axis);
  }
  std::vector<int64_t> named = blocks.block_dims;
  if (named.size() == 1 && rank > 1) named.push_back(named[0]);
  std::vector<int64_t> shape(static_cast<size_t>(rank), 1);
  for (size_t i = 0; i < named.size(); ++i) shape.at(static_cast<size_t>(order.at(i))) = named[i];
  return shape;
}

namespace {

// [d0, d1, ...] as [blocks of d0, b0, blocks of d1, b1, ...], filled up at the ends.
at::Tensor split_axes(const at::Tensor& values, const std::vector<int64_t>& shape, double fill) {
  std::vector<int64_t> pads, split;
  for (size_t i = shape.size(); i-- > 0;) {
    const int64_t size = values.size(static_cast<int64_t>(i));
    pads.push_back(0);
    pads.push_back((shape[i] - size % shape[i]) % shape[i]);
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t size = values.size(static_cast<int64_t>(i));
    split.push_back((size + shape[i] - 1) / shape[i]);
    split.push_back(shape[i]);
  }
  return at::constant_pad_nd(values, pads, fill).reshape(split);
}

}  // namespace

at::Tensor pool_blocks(const at::Tensor& values, const Blocks& blocks, const WeightAxes& axes) {
  const std::vector<int64_t> shape = block_shape(blocks, values.dim(), axes);
  std::vector<int64_t> within;
  for (int64_t axis = 0; axis < values.dim(); ++axis) within.push_back(2 * axis + 1);
  if (blocks.pooling_type == "max")
    return split_axes(values, shape, -std::numeric_limits<double>::infinity()).amax(within);
  const at::Tensor counts = split_axes(at::ones_like(values), shape, 0).sum(within);
  return split_axes(values, shape, 0).sum(within).div_(counts);
}

at::Tensor expand_blocks(const at::Tensor& pooled, const at::Tensor& like, const Blocks& blocks,
                         const WeightAxes& axes) {
  const std::vector<int64_t> shape = block_shape(blocks, like.dim(), axes);
  at::Tensor expanded = pooled;
  for (int64_t axis = 0; axis < like.dim(); ++axis) {
    const auto size = shape[static_cast<size_t>(axis)];
    expanded = expanded.repeat_interleave(size, axis).narrow(axis, 0, like.size(axis));
  }
  return at::empty_like(like, like.options().dtype(at::kBool).requires_grad(false)).copy_(expanded);
}

}  // namespace mc
