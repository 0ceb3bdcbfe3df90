// Pools and convolutions undone: MaxUnpool puts elements back where they came from, Col2Im adds overlapping
// blocks up to an image. CenterCropPad fits an image into given sizes.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/window.h"

namespace mc {
namespace {

Window unpool_window(const Node& node) {
  MC_CHECK(!node.get_ints("kernel_shape").empty(), "kernel_shape is missing");
  return parse_window(node, {});
}

// Elements of an axis that a pool with this window turns into `pooled`.
int64_t unpooled_size(const Window& window, size_t axis, int64_t pooled) {
  const int64_t size =
      (pooled - 1) * window.strides[axis] + window.kernel[axis] - window.begin[axis] - window.end[axis];
  MC_CHECK(size >= 0 && pooled >= 1, "{} windows on spatial axis {} come from no input", pooled, axis);
  return size;
}

void check_unpool(const at::Tensor& x, const at::Tensor& index, const Window& window) {
  MC_CHECK(x.dim() == static_cast<int64_t>(window.rank()) + 2, "the input has {} dims; the window needs {}",
           x.dim(), window.rank() + 2);
  MC_CHECK(index.sizes() == x.sizes(), "indices [{}] and input [{}] differ in shape",
           fmt::join(index.sizes(), ","), fmt::join(x.sizes(), ","));
}

Kernel bind_max_unpool(const BindContext& context) {
  return [window = unpool_window(context.node), wanted = IntsInput(context, 2)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor index = on_device_of(args.in(1), x).to(at::kLong).flatten();
    check_unpool(x, args.in(1), window);
    std::vector<int64_t> sizes = x.sizes().vec();
    int64_t total = sizes[0] * sizes[1];
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      sizes[axis + 2] = unpooled_size(window, axis, sizes[axis + 2]);
      MC_CHECK(!__builtin_mul_overflow(total, sizes[axis + 2], &total), "the output is too large");
    }
    MC_CHECK(!index.is_cpu() || ((index >= 0) & (index < total)).all().item<bool>(),
             "an index is outside of the {} elements of [{}]", total, fmt::join(sizes, ","));
    at::Tensor y = at::zeros({total}, x.options()).scatter(0, index, x.flatten()).reshape(sizes);
    if (const auto shape = wanted.get(args)) {
      // Indices count in what the window gives; a larger output goes on with zeros.
      MC_CHECK(shape->size() == sizes.size(), "output_shape has {} numbers; {} are needed", shape->size(),
               sizes.size());
      std::vector<int64_t> more(sizes.size());
      for (size_t axis = 0; axis < sizes.size(); ++axis) {
        more[axis] = (*shape)[axis] - sizes[axis];
        MC_CHECK(more[axis] >= 0, "output_shape [{}] is smaller than the unpooled [{}]",
                 fmt::join(*shape, ","), fmt::join(sizes, ","));
      }
      y = at::constant_pad_nd(y, torch_padding(std::vector<int64_t>(more.size(), 0), more));
    }
    args.out(0, y);
  };
}

void infer_max_unpool(InferContext& context) {
  const Window window = unpool_window(context.node());
  const Shape* x = input_shape(context, 0);
  std::optional<Shape> y = context.shape_value(2);
  if (!y && x) {
    MC_CHECK(x->size() == window.rank() + 2, "the input has {} dims; the window needs {}", x->size(),
             window.rank() + 2);
    y = *x;
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      Dim& dim = (*y)[axis + 2];
      const bool given = !context.node().input(2).empty();
      dim = dim.known() && !given ? Dim(unpooled_size(window, axis, dim.value)) : Dim();
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

// Where the elements of all blocks lie in the padded image: [elements of a block, blocks], flattened.
at::Tensor block_positions(const Window& window, const std::vector<int64_t>& padded,
                           const std::vector<int64_t>& blocks, const at::TensorOptions& options) {
  const size_t rank = window.rank();
  at::Tensor position = at::zeros(std::vector<int64_t>(2 * rank, 1), options);
  for (size_t axis = 0; axis < rank; ++axis) {
    std::vector<int64_t> element(2 * rank, 1), block(2 * rank, 1);
    element[axis] = window.kernel[axis];
    block[rank + axis] = blocks[axis];
    position = position * padded[axis] +
               (at::arange(window.kernel[axis], options) * window.dilations[axis]).reshape(element) +
               (at::arange(blocks[axis], options) * window.strides[axis]).reshape(block);
  }
  return position.flatten();
}

at::Tensor add_blocks(const at::Tensor& x, const Window& window, const std::vector<int64_t>& image) {
  const size_t rank = window.rank();
  std::vector<int64_t> blocks(rank), padded(rank), before(rank), after(rank);
  int64_t elements = 1, count = 1, area = 1;
  for (size_t axis = 0; axis < rank; ++axis) {
    MC_CHECK(image[axis] >= 1 && image[axis] <= INT32_MAX, "image_shape holds {}; it must be at least 1",
             image[axis]);
    blocks[axis] = window.count(axis, image[axis]);
    padded[axis] = image[axis] + window.begin[axis] + window.end[axis];
    before[axis] = -window.begin[axis];
    after[axis] = -window.end[axis];
    const bool fits = !__builtin_mul_overflow(elements, window.kernel[axis], &elements) &&
                      !__builtin_mul_overflow(count, blocks[axis], &count) &&
                      !__builtin_mul_overflow(area, padded[axis], &area);
    MC_CHECK(fits, "the image [{}] is too large", fmt::join(image, ","));
  }
  MC_CHECK(x.dim() == 3 && x.size(1) % elements == 0 && x.size(2) == count,
           "the input is [{}]; [batch, channels x {}, {}] is needed", fmt::join(x.sizes(), ","), elements,
           count);
  const int64_t channels = x.size(1) / elements;
  if (rank == 2 && window.symmetric() && x.is_floating_point()) {
    return at::col2im(x, image, window.kernel, window.dilations, window.begin, window.strides);
  }
  const at::Tensor index = block_positions(window, padded, blocks, x.options().dtype(at::kLong));
  const at::Tensor flat = x.reshape({x.size(0), channels, elements * count});
  std::vector<int64_t> sizes = {x.size(0), channels};
  sizes.insert(sizes.end(), padded.begin(), padded.end());
  const at::Tensor y = at::zeros({x.size(0), channels, area}, x.options())
                           .scatter_add(2, index.expand(flat.sizes()), flat)
                           .reshape(sizes);
  return at::constant_pad_nd(y, torch_padding(before, after));
}

Kernel bind_col2im(const BindContext& context) {
  return [node = context.node, image = IntsInput(context, 1),
          block = IntsInput(context, 2)](const KernelArgs& args) {
    const Window window = parse_window(node, block.required(args));
    const std::vector<int64_t> sizes = image.required(args);
    MC_CHECK(sizes.size() == window.rank(), "image_shape has {} numbers and block_shape {}", sizes.size(),
             window.rank());
    args.out(0, add_blocks(args.in(0), window, sizes));
  };
}

void infer_col2im(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const auto image = context.shape_value(1);
  const IntsArgument block = ints_argument(context, 2);
  std::optional<Shape> y;
  if (image) {
    y = Shape(2);
    if (x && !x->empty()) y->front() = (*x)[0];
    if (x && x->size() == 3 && (*x)[1].known() && block.values) {
      int64_t elements = 1;
      for (int64_t size : parse_window(context.node(), *block.values).kernel) {
        MC_CHECK(!__builtin_mul_overflow(elements, size, &elements), "block_shape is too large");
      }
      MC_CHECK((*x)[1].value % elements == 0, "{} rows hold no whole blocks of {} elements", (*x)[1].value,
               elements);
      (*y)[1] = (*x)[1].value / elements;
    }
    y->insert(y->end(), image->begin(), image->end());
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

// The axes that the numbers of `shape` are for.
std::vector<int64_t> crop_axes(const Node& node, size_t numbers, int64_t rank) {
  std::vector<int64_t> axes = node.get_ints("axes");
  if (!node.find("axes")) {
    for (int64_t axis = 0; axis < rank; ++axis) axes.push_back(axis);
  }
  for (int64_t& axis : axes) axis = normalize_axis(axis, rank);
  MC_CHECK(axes.size() == numbers, "shape has {} numbers for {} axes", numbers, axes.size());
  return axes;
}

Kernel bind_center_crop_pad(const BindContext& context) {
  return [node = context.node, shape = IntsInput(context, 1)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const std::vector<int64_t> sizes = shape.required(args);
    const std::vector<int64_t> axes = crop_axes(node, sizes.size(), x.dim());
    std::vector<int64_t> before(x.dim(), 0), after(x.dim(), 0);
    for (size_t i = 0; i < axes.size(); ++i) {
      MC_CHECK(sizes[i] >= 0, "shape holds {}; it must not be negative", sizes[i]);
      const int64_t more = sizes[i] - x.size(axes[i]);
      before[axes[i]] = more / 2;  // towards zero: an odd element is cut or added at the end
      after[axes[i]] = more - more / 2;
    }
    args.out(0, at::constant_pad_nd(x, torch_padding(before, after)));
  };
}

void infer_center_crop_pad(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const auto sizes = context.shape_value(1);
  std::optional<Shape> y;
  if (x) {
    y = Shape(x->size());
    if (sizes) {
      y = *x;
      const std::vector<int64_t> axes =
          crop_axes(context.node(), sizes->size(), static_cast<int64_t>(x->size()));
      for (size_t i = 0; i < axes.size(); ++i) (*y)[axes[i]] = (*sizes)[i];
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

}  // namespace

std::vector<Op> unpool_ops() {
  return {
      make_op("MaxUnpool", 9, bind_max_unpool, infer_max_unpool),
      make_op("Col2Im", 18, bind_col2im, infer_col2im),
      make_op("CenterCropPad", 18, bind_center_crop_pad, infer_center_crop_pad),
  };
}

}  // namespace mc
