// DeformConv (Zhu et al., "Deformable ConvNets v2", 2019, equation 1): a convolution whose taps are moved by
// offsets and weighted by a mask. Each tap is a bilinear sample of the input; the rest is a matrix product.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/conv.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/sampling.h"

namespace mc {
namespace {

struct DeformSizes {
  int64_t batch, channels, groups, offset_groups, taps;
  std::vector<int64_t> output;  // spatial
  int64_t places() const { return c10::multiply_integers(output); }
};

// Sizes of one call. Throws Error when the inputs do not fit each other.
DeformSizes deform_sizes(const Node& node, const Window& window, const at::Tensor& x, const at::Tensor& w,
                         const at::Tensor& offset, const at::Tensor& mask) {
  DeformSizes sizes{x.size(0), x.size(1), node.get_int("group", 1), node.get_int("offset_group", 1), 1, {}};
  const auto axes = static_cast<int64_t>(window.rank());
  MC_CHECK(sizes.groups >= 1 && x.size(1) == w.size(1) * sizes.groups && w.size(0) % sizes.groups == 0,
           "{} input and {} output channels do not fit {} groups of {} channels", x.size(1), w.size(0),
           sizes.groups, w.size(1));
  MC_CHECK(sizes.offset_groups >= 1 && x.size(1) % sizes.offset_groups == 0,
           "offset_group is {}; it must divide {} channels", sizes.offset_groups, x.size(1));
  std::vector<int64_t> wanted = {x.size(0), 0};
  for (int64_t axis = 0; axis < axes; ++axis) {
    MC_CHECK(x.size(axis + 2) >= 1, "the input has no elements on axis {}", axis + 2);
    sizes.taps *= window.kernel[axis];
    sizes.output.push_back(window.count(axis, x.size(axis + 2)));
    wanted.push_back(sizes.output.back());
  }
  wanted[1] = sizes.offset_groups * sizes.taps * axes;
  MC_CHECK(offset.sizes() == wanted, "offset is [{}]; [{}] is needed", fmt::join(offset.sizes(), ","),
           fmt::join(wanted, ","));
  wanted[1] /= axes;
  MC_CHECK(!mask.defined() || mask.sizes() == wanted, "mask is [{}]; [{}] is needed",
           fmt::join(mask.defined() ? mask.sizes() : at::IntArrayRef(), ","), fmt::join(wanted, ","));
  return sizes;
}

// Where along `axis` each tap of each window lies without offsets, [taps, outputs of that axis...], shaped to
// broadcast over [taps, output...].
at::Tensor tap_places(const Window& window, const DeformSizes& sizes, size_t axis,
                      const at::TensorOptions& options) {
  std::vector<int64_t> tap_shape(2 * window.rank(), 1), window_shape = tap_shape;
  tap_shape[axis] = window.kernel[axis];
  window_shape[window.rank() + axis] = sizes.output[axis];
  const at::Tensor tap = at::arange(window.kernel[axis], options) * window.dilations[axis];
  const at::Tensor first =
      at::arange(sizes.output[axis], options) * window.strides[axis] - window.begin[axis];
  std::vector<int64_t> full = window.kernel;
  full.insert(full.end(), sizes.output.begin(), sizes.output.end());
  return (tap.reshape(tap_shape) + first.reshape(window_shape))
      .expand(full)
      .flatten(0, static_cast<int64_t>(window.rank()) - 1);
}

// The input under every tap, [N, C, taps, outputs].
at::Tensor deformed_columns(const Window& window, const DeformSizes& sizes, at::Tensor x,
                            const at::Tensor& offset) {
  const auto axes = static_cast<int64_t>(window.rank());
  const int64_t images = sizes.batch * sizes.offset_groups;
  std::vector<int64_t> shape = {images, sizes.taps, axes};
  shape.insert(shape.end(), sizes.output.begin(), sizes.output.end());
  const at::Tensor moves = offset.reshape(shape);
  // The sampler's coordinates need two pixels; what is added is the zero that lies outside anyway.
  std::vector<int64_t> more(window.rank());
  for (int64_t axis = 0; axis < axes; ++axis) more[axis] = x.size(axis + 2) == 1 ? 1 : 0;
  x = at::constant_pad_nd(x, torch_padding(std::vector<int64_t>(more.size(), 0), more));
  std::vector<at::Tensor> coordinates;  // innermost axis first, -1 and 1 the outer pixels' centres
  for (size_t axis = window.rank(); axis-- > 0;) {
    const at::Tensor place =
        moves.select(2, static_cast<int64_t>(axis)) + tap_places(window, sizes, axis, offset.options());
    const auto last = static_cast<double>(x.size(static_cast<int64_t>(axis) + 2) - 1);
    coordinates.push_back(place * (2 / last) - 1);
  }
  // The sampler knows images and volumes: taps and the first axis of the output go together.
  const at::Tensor grid = at::stack(coordinates, -1).flatten(1, 2);
  std::vector<int64_t> image = {images, sizes.channels / sizes.offset_groups};
  image.insert(image.end(), x.sizes().begin() + 2, x.sizes().end());
  const at::Tensor sampled = at::grid_sampler(x.reshape(image), grid, /*bilinear*/ 0, /*zeros*/ 0,
                                              /*align_corners=*/true);
  return sampled.reshape({sizes.batch, sizes.channels, sizes.taps, sizes.places()});
}

Kernel bind_deform_conv(const BindContext& context) {
  return [node = context.node](const KernelArgs& args) {
    const at::Tensor &x = args.in(0), &w = args.in(1), &offset = args.in(2);
    MC_CHECK(x.dim() == 4 || x.dim() == 5, "the input has {} dims; images (4) and volumes (5) are supported",
             x.dim());
    MC_CHECK(w.dim() == x.dim(), "the weight has {} dims and the input {}", w.dim(), x.dim());
    const Window window = parse_window(node, w.sizes().slice(2).vec());
    const DeformSizes sizes = deform_sizes(node, window, x, w, offset, args.in_or(4));
    const at::ScalarType math = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    at::Tensor columns = deformed_columns(window, sizes, x.to(math), offset.to(math));
    if (args.has(4)) {
      const int64_t channels = sizes.channels / sizes.offset_groups;
      const at::Tensor mask =
          args.in(4).to(math).reshape({sizes.batch, sizes.offset_groups, 1, sizes.taps, sizes.places()});
      columns =
          mask * columns.reshape({sizes.batch, sizes.offset_groups, channels, sizes.taps, sizes.places()});
    }
    columns = columns.reshape({sizes.batch, sizes.groups, w.size(1) * sizes.taps, sizes.places()});
    const at::Tensor weight =
        w.to(math).reshape({sizes.groups, w.size(0) / sizes.groups, w.size(1) * sizes.taps});
    std::vector<int64_t> shape = {sizes.batch, w.size(0)};
    shape.insert(shape.end(), sizes.output.begin(), sizes.output.end());
    at::Tensor y = at::matmul(weight, columns).reshape(shape);
    if (args.has(3)) {
      MC_CHECK(args.in(3).numel() == w.size(0), "the bias has {} elements; {} are needed", args.in(3).numel(),
               w.size(0));
      std::vector<int64_t> column(x.dim(), 1);
      column[1] = w.size(0);
      y = y + args.in(3).to(math).reshape(column);
    }
    args.out(0, y.to(x.scalar_type()));
  };
}

}  // namespace

Op deform_conv_op() {
  return {.name = "DeformConv",
          .since = 19,
          .roles = {Role::kConstant, Role::kWeight, Role::kConstant, Role::kWeight, Role::kConstant},
          .bind = bind_deform_conv,
          .infer = [](InferContext& context) { infer_convolution(context, 1, DType::kUndefined); },
          .macs = [](const Node&, std::span<const Shape> inputs,
                     std::span<const Shape> outputs) { return convolution_macs(inputs[1], outputs[0]); },
          .channel_axis = [](const Node&, size_t, int64_t) -> int64_t { return 0; }};
}

}  // namespace mc
