// Pooling over windows and over all space.
#include <cmath>
#include <limits>
#include <tuple>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/window.h"

namespace mc {
namespace {

using Ints = std::vector<int64_t>;

Ints spatial(const at::Tensor& tensor) {
  return tensor.sizes().slice(2).vec();
}

Window pool_window(const Node& node) {
  MC_CHECK(!node.get_ints("kernel_shape").empty(), "kernel_shape is missing");
  return parse_window(node, {});
}

Window fit(const Window& window, const at::Tensor& x) {
  MC_CHECK(x.dim() == static_cast<int64_t>(window.rank()) + 2, "the input has {} dims; the window needs {}",
           x.dim(), window.rank() + 2);
  const Window fitted = window.resolved(spatial(x));
  for (size_t axis = 0; axis < window.rank(); ++axis)
    fitted.count(axis, x.size(static_cast<int64_t>(axis) + 2));
  return fitted;
}

// ATen pads both ends alike and by half a window at most.
bool native_padding(const Window& window) {
  if (!window.symmetric()) return false;
  for (size_t axis = 0; axis < window.rank(); ++axis) {
    if (window.begin[axis] > window.kernel[axis] / 2) return false;
  }
  return true;
}

// The window without ceil_mode and padding, and the padding at the end that gives as many windows.
std::pair<Window, Ints> padded_window(const Window& window, const Ints& sizes) {
  Window bare = window;
  Ints end(window.rank());
  for (size_t axis = 0; axis < window.rank(); ++axis) {
    const int64_t last = (window.count(axis, sizes[axis]) - 1) * window.strides[axis] + window.reach(axis);
    end[axis] = std::max<int64_t>(0, last - sizes[axis] - window.begin[axis]);
  }
  bare.ceil_mode = false;
  bare.begin.assign(window.rank(), 0);
  bare.end.assign(window.rank(), 0);
  return {bare, end};
}

std::tuple<at::Tensor, at::Tensor> max_with_indices(const at::Tensor& x, const Window& w) {
  switch (w.rank()) {
    case 1:
      return at::max_pool1d_with_indices(x, w.kernel, w.strides, w.begin, w.dilations, w.ceil_mode);
    case 2:
      return at::max_pool2d_with_indices(x, w.kernel, w.strides, w.begin, w.dilations, w.ceil_mode);
    default:
      return at::max_pool3d_with_indices(x, w.kernel, w.strides, w.begin, w.dilations, w.ceil_mode);
  }
}

at::Tensor max_values(const at::Tensor& x, const Window& w) {
  if (w.rank() == 2) return at::max_pool2d(x, w.kernel, w.strides, w.begin, w.dilations, w.ceil_mode);
  return std::get<0>(max_with_indices(x, w));
}

at::Scalar lowest(at::ScalarType type) {
  if (at::isFloatingType(type)) return -std::numeric_limits<double>::infinity();
  if (type == at::kByte) return 0;
  return type == at::kChar ? -128 : std::numeric_limits<int32_t>::min();
}

// ATen counts positions within the padded plane of one channel; ONNX within the whole input, padding left
// out, and with storage_order 1 the plane's first axis runs fastest.
at::Tensor onnx_indices(at::Tensor index, const at::Tensor& x, const Ints& before, const Ints& padded,
                        bool column_major) {
  const size_t rank = before.size();
  at::Tensor result = at::zeros_like(index);
  const Ints sizes = spatial(x);
  Ints stride(rank, 1);
  for (size_t i = 1; i < rank; ++i) {
    if (column_major) {
      stride[i] = stride[i - 1] * sizes[i - 1];
    } else {
      stride[rank - 1 - i] = stride[rank - i] * sizes[rank - i];
    }
  }
  int64_t plane = 1;
  for (size_t axis = rank; axis-- > 0;) {
    result += (at::remainder(index, padded[axis]) - before[axis]) * stride[axis];
    index = at::floor_divide(index, padded[axis]);
    plane *= sizes[axis];
  }
  Ints shape(rank + 2, 1);
  shape[0] = x.size(0);
  shape[1] = x.size(1);
  return result + (at::arange(x.size(0) * x.size(1), index.options()) * plane).view(shape);
}

Kernel bind_max_pool(const BindContext& context) {
  const bool column_major = context.node.get_int("storage_order", 0) != 0;
  return [window = pool_window(context.node), column_major](const KernelArgs& args) {
    at::Tensor x = args.in(0);
    Window fitted = fit(window, x);
    Ints before(fitted.rank(), 0);
    if (!native_padding(fitted)) {
      before = fitted.begin;
      auto [bare, end] = padded_window(fitted, spatial(x));
      x = at::constant_pad_nd(x, torch_padding(before, end), lowest(x.scalar_type()));
      fitted = bare;
    }
    if (!args.wants(1)) return args.out(0, max_values(x, fitted));
    auto [y, index] = max_with_indices(x, fitted);
    args.out(0, y);
    args.out(1, onnx_indices(index, args.in(0), before, spatial(x), column_major));
  };
}

// Sums over windows of x, already padded.
at::Tensor window_sums(const at::Tensor& x, const Window& w) {
  double elements = 1;
  bool dilated = false;
  for (size_t axis = 0; axis < w.rank(); ++axis) {
    elements *= static_cast<double>(w.kernel[axis]);
    dilated = dilated || w.dilations[axis] != 1;
  }
  if (dilated) {  // ATen's average pooling has no dilation: a convolution of each plane with ones
    Ints planes = x.sizes().vec(), ones(w.rank() + 2, 1);
    planes[0] *= planes[1];
    planes[1] = 1;
    std::copy(w.kernel.begin(), w.kernel.end(), ones.begin() + 2);
    const Ints none(w.rank(), 0);
    const at::Tensor y = at::convolution(x.reshape(planes), at::ones(ones, x.options()), {}, w.strides, none,
                                         w.dilations, /*transposed=*/false, none, /*groups=*/1);
    Ints shape = y.sizes().vec();
    shape[0] = x.size(0);
    shape[1] = x.size(1);
    return y.reshape(shape);
  }
  switch (w.rank()) {
    case 1:
      return at::avg_pool1d(x, w.kernel, w.strides) * elements;
    case 2:
      return at::avg_pool2d(x, w.kernel, w.strides) * elements;
    default:
      return at::avg_pool3d(x, w.kernel, w.strides) * elements;
  }
}

at::Tensor native_average(const at::Tensor& x, const Window& w, bool count_padding) {
  switch (w.rank()) {
    case 1:
      return at::avg_pool1d(x, w.kernel, w.strides, w.begin, w.ceil_mode, count_padding);
    case 2:
      return at::avg_pool2d(x, w.kernel, w.strides, w.begin, w.ceil_mode, count_padding);
    default:
      return at::avg_pool3d(x, w.kernel, w.strides, w.begin, w.ceil_mode, count_padding);
  }
}

Kernel bind_average_pool(const BindContext& context) {
  const bool count_padding = context.node.get_int("count_include_pad", 0) != 0;
  const Window window = pool_window(context.node);
  const bool dilated = window.dilations != Ints(window.rank(), 1);
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const Window fitted = fit(window, x);
    if (!dilated && native_padding(fitted)) return args.out(0, native_average(x, fitted, count_padding));
    // Sums over the padded input, divided by how many elements each window counts: those of the input and,
    // on demand, of the padding, but never what ceil_mode reaches beyond it.
    const auto [bare, end] = padded_window(fitted, spatial(x));
    Ints shape = x.sizes().vec(), counted_end(end.size());
    shape[0] = shape[1] = 1;
    Ints rest = end;
    at::Tensor counted = at::ones(shape, x.options().requires_grad(false));
    for (size_t axis = 0; axis < end.size(); ++axis) {
      counted_end[axis] = std::min(end[axis], fitted.end[axis]);
      rest[axis] = end[axis] - counted_end[axis];
    }
    counted = at::constant_pad_nd(counted, torch_padding(fitted.begin, counted_end), count_padding ? 1 : 0);
    counted = at::constant_pad_nd(counted, torch_padding(Ints(end.size(), 0), rest), 0);
    const at::Tensor sums = window_sums(at::constant_pad_nd(x, torch_padding(fitted.begin, end)), bare);
    args.out(0, sums / window_sums(counted, bare));
  };
}

// (sum |x|^p)^(1/p) with a zero gradient, not an infinite one, where the sum is zero.
at::Tensor root_of_sum(const at::Tensor& sum, double p) {
  const at::Tensor empty = sum <= 0;
  return sum.masked_fill(empty, 1).pow(1 / p).masked_fill(empty, 0);
}

Kernel bind_lp_pool(const BindContext& context) {
  const double p = static_cast<double>(context.node.get_int("p", 2));
  MC_CHECK(p >= 1, "p is {}; it must be at least 1", p);
  return [window = pool_window(context.node), p](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const Window fitted = fit(window, x);
    const auto [bare, end] = padded_window(fitted, spatial(x));
    const at::Tensor padded = at::constant_pad_nd(x.abs().pow(p), torch_padding(fitted.begin, end));
    args.out(0, root_of_sum(window_sums(padded, bare), p));
  };
}

void infer_pool(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Window window = pool_window(context.node());
  std::optional<Shape> y;
  if (x) {
    MC_CHECK(x->size() == window.rank() + 2, "the input has {} dims; the window needs {}", x->size(),
             window.rank() + 2);
    y = Shape(x->size());
    (*y)[0] = (*x)[0];
    (*y)[1] = (*x)[1];
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      const Dim& size = (*x)[axis + 2];
      if (size.known()) (*y)[axis + 2] = window.output_size(axis, size.value);
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
  if (context.node().outputs.size() > 1) context.output(1, Type::tensor(DType::kInt64, y));
}

Ints space_axes(const at::Tensor& x) {
  MC_CHECK(x.dim() >= 3, "the input has {} dims; batch, channels and space are needed", x.dim());
  Ints axes;
  for (int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  return axes;
}

void infer_global_pool(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  std::optional<Shape> y;
  if (x) {
    MC_CHECK(x->size() >= 3, "the input has {} dims; batch, channels and space are needed", x->size());
    y = Shape(x->size(), Dim(1));
    (*y)[0] = (*x)[0];
    (*y)[1] = (*x)[1];
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

Op global_pool(const char* name, QuantPart quant, std::function<Kernel(const BindContext&)> bind) {
  return {.name = name, .quant = quant, .bind = std::move(bind), .infer = infer_global_pool};
}

}  // namespace

std::vector<Op> pool_ops() {
  return {
      {.name = "MaxPool", .quant = QuantPart::kSameRange, .bind = bind_max_pool, .infer = infer_pool},
      {.name = "AveragePool", .quant = QuantPart::kPool, .bind = bind_average_pool, .infer = infer_pool},
      {.name = "LpPool", .since = 2, .bind = bind_lp_pool, .infer = infer_pool},
      global_pool("GlobalAveragePool", QuantPart::kPool,
                  [](const BindContext&) {
                    return unary([](const at::Tensor& x) { return x.mean(space_axes(x), /*keepdim=*/true); });
                  }),
      global_pool("GlobalMaxPool", QuantPart::kSameRange,
                  [](const BindContext&) {
                    return unary([](const at::Tensor& x) { return x.amax(space_axes(x), /*keepdim=*/true); });
                  }),
      global_pool("GlobalLpPool", QuantPart::kNone,
                  [](const BindContext& context) {
                    const double p = static_cast<double>(context.node.get_int("p", 2));
                    MC_CHECK(p >= 1, "p is {}; it must be at least 1", p);
                    return unary([p](const at::Tensor& x) {
                      return root_of_sum(x.abs().pow(p).sum(space_axes(x), /*keepdim=*/true), p);
                    });
                  }),
  };
}

}  // namespace mc
