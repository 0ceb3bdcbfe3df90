// Sampling at given places: AffineGrid and GridSample (Jaderberg et al., "Spatial Transformer Networks",
// 2015).
#include <array>

#include <ATen/ATen.h>
#include <ATen/native/GridSamplerUtils.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/sampling.h"

namespace mc {
namespace {

using at::native::GridSamplerInterpolation;
using at::native::GridSamplerPadding;

struct GridAttributes {
  GridSamplerInterpolation mode = GridSamplerInterpolation::Bilinear;
  GridSamplerPadding padding = GridSamplerPadding::Zeros;
  bool align_corners = false;
};

GridAttributes grid_attributes(const Node& node) {
  GridAttributes attributes;
  const std::string mode = node.get_string("mode", "linear");  // named bilinear, bicubic before opset 20
  MC_CHECK(
      mode == "linear" || mode == "bilinear" || mode == "nearest" || mode == "cubic" || mode == "bicubic",
      "mode is '{}', not linear, nearest or cubic", mode);
  if (mode == "nearest") attributes.mode = GridSamplerInterpolation::Nearest;
  if (mode == "cubic" || mode == "bicubic") attributes.mode = GridSamplerInterpolation::Bicubic;
  const std::string padding = node.get_string("padding_mode", "zeros");
  MC_CHECK(padding == "zeros" || padding == "border" || padding == "reflection",
           "padding_mode is '{}', not zeros, border or reflection", padding);
  if (padding == "border") attributes.padding = GridSamplerPadding::Border;
  if (padding == "reflection") attributes.padding = GridSamplerPadding::Reflection;
  attributes.align_corners = node.get_int("align_corners", 0) != 0;
  return attributes;
}

// Indices mirrored at the borders (the outer pixels' centres, or their edges), as often as they need to be.
at::Tensor reflected_index(const at::Tensor& index, int64_t size, bool align_corners) {
  const int64_t period = align_corners ? 2 * (size - 1) : 2 * size;
  if (period == 0) return at::zeros_like(index);
  const at::Tensor place = index.remainder(period);
  return at::where(place < size, place, (align_corners ? period : period - 1) - place);
}

// Keys, "Cubic convolution interpolation" (1981), with a = -0.75: the weight of the four pixels around a
// place that lies `t` behind the second.
std::array<at::Tensor, 4> cubic_weights(const at::Tensor& t) {
  constexpr double a = -0.75;
  const auto near = [](const at::Tensor& d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far = [](const at::Tensor& d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  return {far(t + 1), near(t), near(1 - t), far(2 - t)};
}

// One axis of a cubic sampling: where the four pixels lie, and what they count.
struct CubicAxis {
  std::array<at::Tensor, 4> index, weight;  // [N, places]
};

CubicAxis cubic_axis(const GridAttributes& attributes, const at::Tensor& coordinate, int64_t size) {
  const double length = static_cast<double>(size);
  const at::Tensor place =
      attributes.align_corners ? (coordinate + 1) / 2 * (length - 1) : ((coordinate + 1) * length - 1) / 2;
  const at::Tensor floor = place.detach().floor();
  CubicAxis axis;
  axis.weight = cubic_weights(place - floor);
  for (int64_t tap = 0; tap < 4; ++tap) {
    const at::Tensor index = floor.nan_to_num(-2).clamp(-1e9, 1e9).to(at::kLong) + (tap - 1);
    if (attributes.padding == GridSamplerPadding::Zeros) {
      axis.weight[tap] = axis.weight[tap].masked_fill((index < 0) | (index >= size), 0);
    }
    const at::Tensor kept = attributes.padding == GridSamplerPadding::Reflection
                                ? reflected_index(index, size, attributes.align_corners)
                                : index;
    axis.index[tap] = kept.clamp(0, size - 1);
  }
  return axis;
}

// ATen has no cubic sampling of volumes: 64 gathers, each times the product of its axes' weights.
at::Tensor sample_cubic_volume(const GridAttributes& attributes, const at::Tensor& x,
                               const at::Tensor& grid) {
  const int64_t batch = x.size(0), channels = x.size(1);
  const at::Tensor places = grid.flatten(1, 3);
  std::array<CubicAxis, 3> axes;
  for (int64_t axis = 0; axis < 3; ++axis)
    axes[axis] = cubic_axis(attributes, places.select(2, 2 - axis), x.size(axis + 2));
  const at::Tensor pixels = x.flatten(2);
  at::Tensor y = at::zeros({batch, channels, places.size(1)}, x.options());
  for (int tap = 0; tap < 64; ++tap) {
    const int d = tap / 16, h = tap / 4 % 4, w = tap % 4;
    const at::Tensor index = (axes[0].index[d] * x.size(3) + axes[1].index[h]) * x.size(4) + axes[2].index[w];
    const at::Tensor weight = axes[0].weight[d] * axes[1].weight[h] * axes[2].weight[w];
    y = y + pixels.gather(2, index.unsqueeze(1).expand({-1, channels, -1})) * weight.unsqueeze(1);
  }
  return y.reshape({batch, channels, grid.size(1), grid.size(2), grid.size(3)});
}

void check_grid(const at::Tensor& x, const at::Tensor& grid) {
  MC_CHECK(x.dim() >= 3 && x.dim() <= 5,
           "the input has {} dims; 3, 4 or 5 (batch, channels, space) are supported", x.dim());
  MC_CHECK(grid.dim() == x.dim() && grid.size(0) == x.size(0) && grid.size(-1) == x.dim() - 2,
           "the grid [{}] does not fit the input [{}]; it needs the same batch and {} coordinates a place",
           fmt::join(grid.sizes(), ","), fmt::join(x.sizes(), ","), x.dim() - 2);
  for (int64_t axis = 2; axis < x.dim(); ++axis)
    MC_CHECK(x.size(axis) >= 1, "the input has no elements on axis {}", axis);
}

// x [N, C, space...] and grid [N, places..., axes] of one floating type.
at::Tensor sample_grid(const GridAttributes& attributes, at::Tensor x, at::Tensor grid) {
  const bool line = x.dim() == 3;
  if (line) {  // an image one pixel high, sampled in its only row
    x = x.unsqueeze(2);
    grid = at::constant_pad_nd(grid, {0, 1}).unsqueeze(1);
  }
  if (x.dim() == 5 && attributes.mode == GridSamplerInterpolation::Bicubic)
    return sample_cubic_volume(attributes, x, grid);
  const at::Tensor y = at::grid_sampler(x, grid, static_cast<int64_t>(attributes.mode),
                                        static_cast<int64_t>(attributes.padding), attributes.align_corners);
  return line ? y.squeeze(2) : y;
}

Kernel bind_grid_sample(const BindContext& context) {
  return [attributes = grid_attributes(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor& grid = args.in(1);
    check_grid(x, grid);
    MC_CHECK(!x.is_complex(), "complex inputs are not supported");
    // Integers of any width are exact in double; 16-bit places would miss pixels of large images.
    const bool wide = !x.is_floating_point() || x.scalar_type() == at::kDouble;
    const at::ScalarType math = wide || grid.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    args.out(0, sample_grid(attributes, x.to(math), grid.to(math)).to(x.scalar_type()));
  };
}

void infer_grid_sample(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Shape* grid = input_shape(context, 1);
  std::optional<Shape> y;
  if (x && grid) {
    MC_CHECK(x->size() >= 3 && grid->size() == x->size(), "the input has {} dims and the grid {}", x->size(),
             grid->size());
    y = Shape{merge_dims((*x)[0], (*grid)[0]), (*x)[1]};
    y->insert(y->end(), grid->begin() + 1, grid->end() - 1);
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

Kernel bind_affine_grid(const BindContext& context) {
  return [size = IntsInput(context, 1),
          align_corners = context.node.get_int("align_corners", 0) != 0](const KernelArgs& args) {
    const at::Tensor& theta = args.in(0);
    const std::vector<int64_t> wanted = size.required(args);
    MC_CHECK(wanted.size() == 4 || wanted.size() == 5, "size has {} numbers; 4 or 5 are supported",
             wanted.size());
    const int64_t axes = static_cast<int64_t>(wanted.size()) - 2;
    MC_CHECK(theta.sizes() == at::IntArrayRef({wanted[0], axes, axes + 1}),
             "theta [{}] does not fit size [{}]; it holds {} matrices of {} rows and {} columns",
             fmt::join(theta.sizes(), ","), fmt::join(wanted, ","), wanted[0], axes, axes + 1);
    for (int64_t dim : wanted) MC_CHECK(dim >= 1, "size holds {}; it must be at least 1", dim);
    args.out(0, at::affine_grid_generator(theta, wanted, align_corners));
  };
}

void infer_affine_grid(InferContext& context) {
  std::optional<Shape> grid;
  if (const auto size = context.shape_value(1)) {
    MC_CHECK(size->size() == 4 || size->size() == 5, "size has {} numbers; 4 or 5 are supported",
             size->size());
    grid = Shape{(*size)[0]};
    grid->insert(grid->end(), size->begin() + 2, size->end());
    grid->push_back(Dim(static_cast<int64_t>(size->size()) - 2));
  }
  context.output(0, Type::tensor(input_dtype(context, 0), grid));
}

}  // namespace

std::vector<Op> sampling_ops() {
  std::vector<Op> ops = {
      make_op("GridSample", 16, bind_grid_sample, infer_grid_sample),
      make_op("AffineGrid", 20, bind_affine_grid, infer_affine_grid),
  };
  ops.push_back(roi_align_op());
  ops.push_back(max_roi_pool_op());
  ops.push_back(deform_conv_op());
  return ops;
}

}  // namespace mc
