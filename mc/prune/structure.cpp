#include "mc/prune/structure.h"

#include <fmt/ranges.h>

#include "mc/base/error.h"

namespace mc {
namespace {

void check_shape(const Unstructured&, at::IntArrayRef, const WeightAxes&) {}
void check_shape(const Nonzero&, at::IntArrayRef, const WeightAxes&) {}

void check_shape(const Uniform& uniform, at::IntArrayRef, const WeightAxes&) {
  MC_CHECK(uniform.block_size >= 1, "block_size must be at least 1, is {}", uniform.block_size);
}

void check_shape(const Blocks& blocks, at::IntArrayRef shape, const WeightAxes&) {
  const std::vector<int64_t>& dims = blocks.block_dims;
  MC_CHECK(!dims.empty() && dims.size() <= shape.size(),
           "block_dims [{}] name {} axes, the weight [{}] has {}", fmt::join(dims, ", "), dims.size(),
           fmt::join(shape, ","), shape.size());
  for (const int64_t dim : dims)
    MC_CHECK(dim >= 1, "block_dims must be at least 1, are [{}]", fmt::join(dims, ", "));
  MC_CHECK(blocks.pooling_type == "avg" || blocks.pooling_type == "max",
           "pooling_type must be avg or max, is '{}'", blocks.pooling_type);
}

void check_shape(const NToM& of, at::IntArrayRef shape, const WeightAxes& axes) {
  MC_CHECK(of.n >= 1 && of.n < of.m, "N:M pruning keeps at least 1 and fewer than M of M, not {} of {}", of.n,
           of.m);
  const int64_t channels = shape.size() < 2 ? 0 : shape[static_cast<size_t>(axes.input)];
  MC_CHECK(channels >= of.m, "{}:{} needs at least {} input channels, the weight [{}] has {}", of.n, of.m,
           of.m, fmt::join(shape, ","), channels);
}

}  // namespace

void check_structure(const Structure& structure, at::IntArrayRef shape, const WeightAxes& axes) {
  std::visit([&](const auto& held) { check_shape(held, shape, axes); }, structure);
}

WeightAxes weight_axes(const ParameterView& view) {
  const int64_t rank = view.tensor.dim(), output = view.channel_axis;
  if (rank < 2) return {0, 0};
  switch (view.kind) {
    case ParameterKind::kConv:
      return {output, output == 0 ? 1 : 0};
    case ParameterKind::kRecurrent:
      return {rank - 2, rank - 1};  // [directions, gates, inputs], or without directions
    case ParameterKind::kEmbedding:
      return {0, rank - 1};
    default:
      return {output, output == rank - 1 ? rank - 2 : rank - 1};
  }
}

}  // namespace mc
