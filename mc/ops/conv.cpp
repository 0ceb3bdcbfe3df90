// Convolution and its transpose, 1-D to 3-D.
#include "mc/ops/conv.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"

namespace mc {
namespace {

std::vector<int64_t> spatial(const at::Tensor& tensor) {
  return tensor.sizes().slice(2).vec();
}

void check_ranks(const at::Tensor& x, const at::Tensor& w) {
  MC_CHECK(x.dim() >= 3 && x.dim() <= 5,
           "the input has {} dims; 3, 4 or 5 (batch, channels, space) are supported", x.dim());
  MC_CHECK(w.dim() == x.dim(), "the weight has {} dims and the input {}", w.dim(), x.dim());
}

// The window is parsed on binding where the kernel's size is known, else on every call.
std::optional<Window> bound_window(const BindContext& context, size_t weight_input) {
  const Tensor* weight = context.constant(weight_input);
  if (weight && weight->dims.size() >= 3) {
    return parse_window(context.node, {weight->dims.begin() + 2, weight->dims.end()});
  }
  if (context.node.get_ints("kernel_shape").empty()) return std::nullopt;
  return parse_window(context.node, {});
}

Window window_for(const std::optional<Window>& bound, const Node& node, const at::Tensor& w) {
  if (!bound) return parse_window(node, spatial(w));
  MC_CHECK(at::IntArrayRef(bound->kernel) == w.sizes().slice(2),
           "kernel_shape differs from the weight's shape");
  return *bound;
}

Kernel bind_conv(const BindContext& context) {
  return [convolution = Convolution(context, 1)](const KernelArgs& args) {
    args.out(0, convolution(args.in(0), args.in(1), args.in_or(2)));
  };
}

// Where a transposed convolution's output lies: its padding and the elements added at the end.
struct TransposePlan {
  std::vector<int64_t> begin, end, extra, size;
};

// ONNX ConvTranspose: output = stride (input - 1) + output_padding + reach - begin - end; output_shape fixes
// the left side and gives the total padding.
TransposePlan plan_transpose(const Node& node, const Window& window, const std::vector<int64_t>& sizes) {
  const size_t rank = window.rank();
  TransposePlan plan{window.begin, window.end, node.get_ints("output_padding"),
                     node.get_ints("output_shape")};
  if (plan.extra.empty()) plan.extra.assign(rank, 0);
  MC_CHECK(plan.extra.size() == rank, "output_padding has {} numbers; it needs {}", plan.extra.size(), rank);
  if (plan.size.size() == rank + 2) plan.size.erase(plan.size.begin(), plan.size.begin() + 2);
  const bool same =
      window.auto_pad == Window::AutoPad::kSameUpper || window.auto_pad == Window::AutoPad::kSameLower;
  const bool fixed = !plan.size.empty();
  MC_CHECK(!fixed || plan.size.size() == rank, "output_shape has {} numbers; it needs {}", plan.size.size(),
           rank);
  plan.size.resize(rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    MC_CHECK(plan.extra[axis] >= 0, "output_padding holds {}; it must not be negative", plan.extra[axis]);
    const int64_t full = window.strides[axis] * (sizes[axis] - 1) + plan.extra[axis] + window.reach(axis);
    if (fixed || same) {
      if (!fixed) plan.size[axis] = sizes[axis] * window.strides[axis];
      const int64_t total = full - plan.size[axis];
      // A negative total asks for more elements than the windows reach: they are added at the end.
      const int64_t cut = std::max<int64_t>(0, total);
      const int64_t half = cut / 2;
      plan.begin[axis] = window.auto_pad == Window::AutoPad::kSameUpper ? half : cut - half;
      plan.end[axis] = total - plan.begin[axis];
    } else {
      plan.size[axis] = full - plan.begin[axis] - plan.end[axis];
    }
    MC_CHECK(plan.size[axis] >= 1, "the output would have {} elements on spatial axis {}", plan.size[axis],
             axis);
  }
  return plan;
}

at::Tensor transposed(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias, const Window& window,
                      const std::vector<int64_t>& padding, const std::vector<int64_t>& extra, int64_t group) {
  switch (window.rank()) {
    case 1:
      return at::conv_transpose1d(x, w, bias, window.strides, padding, extra, group, window.dilations);
    case 2:
      return at::conv_transpose2d(x, w, bias, window.strides, padding, extra, group, window.dilations);
    default:
      return at::conv_transpose3d(x, w, bias, window.strides, padding, extra, group, window.dilations);
  }
}

Kernel bind_conv_transpose(const BindContext& context) {
  const int64_t group = context.node.get_int("group", 1);
  MC_CHECK(group >= 1, "group is {}; it must be at least 1", group);
  return [bound = bound_window(context, 1), node = context.node, group](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor& w = args.in(1);
    const at::Tensor bias = args.in_or(2);
    check_ranks(x, w);
    MC_CHECK(x.size(1) == w.size(0), "the input has {} channels and the weight {}", x.size(1), w.size(0));
    const Window window = window_for(bound, node, w);
    const TransposePlan plan = plan_transpose(node, window, spatial(x));
    bool plain = plan.begin == plan.end;
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      plain = plain && plan.extra[axis] < std::max(window.strides[axis], window.dilations[axis]);
    }
    if (plain) {
      return args.out(0, transposed(x, w, bias, window, plan.begin, plan.extra, group));
    }
    // ATen pads both ends alike: the full output is made, cut and extended; what is added holds the bias.
    const std::vector<int64_t> none(window.rank(), 0);
    at::Tensor y = transposed(x, w, {}, window, none, none, group);
    std::vector<int64_t> before(window.rank()), after(window.rank());
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      before[axis] = -plan.begin[axis];
      after[axis] = plan.size[axis] + plan.begin[axis] - y.size(static_cast<int64_t>(axis) + 2);
    }
    y = at::constant_pad_nd(y, torch_padding(before, after));
    if (bias.defined()) {
      std::vector<int64_t> shape(x.dim(), 1);
      shape[1] = bias.numel();
      y = y + bias.to(y.scalar_type()).view(shape);
    }
    args.out(0, y);
  };
}

void infer_conv_transpose(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Shape* w = input_shape(context, 1);
  if (!x || !w) return context.output(0, Type::tensor(input_dtype(context, 0)));
  MC_CHECK(x->size() >= 3 && w->size() == x->size(), "the weight has {} dims and the input {}", w->size(),
           x->size());
  Shape y(x->size());
  y[0] = (*x)[0];
  if ((*w)[1].known()) y[1] = (*w)[1].value * context.node().get_int("group", 1);
  const auto kernel = known_dims(Shape(w->begin() + 2, w->end()));
  const auto sizes = known_dims(Shape(x->begin() + 2, x->end()));
  if (sizes && (kernel || !context.node().get_ints("kernel_shape").empty())) {
    const Window window = parse_window(context.node(), kernel.value_or(std::vector<int64_t>()));
    const TransposePlan plan = plan_transpose(context.node(), window, *sizes);
    for (size_t axis = 0; axis < window.rank(); ++axis) y[axis + 2] = plan.size[axis];
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

double conv_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  return convolution_macs(inputs[1], outputs[0]);
}

double conv_transpose_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape>) {
  return convolution_macs(inputs[1], inputs[0]);
}

}  // namespace

Convolution::Convolution(const BindContext& context, size_t weight)
    : node_(context.node), group_(context.node.get_int("group", 1)), window_(bound_window(context, weight)) {
  MC_CHECK(group_ >= 1, "group is {}; it must be at least 1", group_);
}

at::Tensor Convolution::operator()(const at::Tensor& input, const at::Tensor& w,
                                   const at::Tensor& bias) const {
  at::Tensor x = input;
  check_ranks(x, w);
  MC_CHECK(x.size(1) == w.size(1) * group_,
           "the input has {} channels; the weight takes {} in each of {} groups", x.size(1), w.size(1),
           group_);
  Window window = window_for(window_, node_, w).resolved(spatial(x));
  if (!window.symmetric()) {
    x = at::constant_pad_nd(x, torch_padding(window.begin, window.end));
    std::fill(window.begin.begin(), window.begin.end(), 0);
  }
  // The per-rank functions are the ones that autocast knows.
  switch (window.rank()) {
    case 1:
      return at::conv1d(x, w, bias, window.strides, window.begin, window.dilations, group_);
    case 2:
      return at::conv2d(x, w, bias, window.strides, window.begin, window.dilations, group_);
    default:
      return at::conv3d(x, w, bias, window.strides, window.begin, window.dilations, group_);
  }
}

void infer_convolution(InferContext& context, size_t weight, DType dtype) {
  const Shape* x = input_shape(context, 0);
  const Shape* w = input_shape(context, weight);
  if (dtype == DType::kUndefined) dtype = input_dtype(context, 0);
  if (!x) return context.output(0, Type::tensor(dtype));
  MC_CHECK(x->size() >= 3, "the input has {} dims; it needs batch, channels and space", x->size());
  Shape y(x->size());
  y[0] = (*x)[0];
  if (w) {
    MC_CHECK(w->size() == x->size(), "the weight has {} dims and the input {}", w->size(), x->size());
    y[1] = (*w)[0];
    const int64_t group = context.node().get_int("group", 1);
    MC_CHECK(!(*x)[1].known() || !(*w)[1].known() || (*x)[1].value == (*w)[1].value * group,
             "the input has {} channels; the weight takes {} in each of {} groups", (*x)[1].value,
             (*w)[1].value, group);
  }
  const auto kernel = w ? known_dims(Shape(w->begin() + 2, w->end())) : std::nullopt;
  if (kernel || !context.node().get_ints("kernel_shape").empty()) {
    const Window window = parse_window(context.node(), kernel.value_or(std::vector<int64_t>()));
    MC_CHECK(window.rank() + 2 == x->size(), "kernel_shape has {} axes; the input has {} dims", window.rank(),
             x->size());
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      const Dim& size = (*x)[axis + 2];
      if (size.known()) y[axis + 2] = window.output_size(axis, size.value);
    }
  }
  context.output(0, Type::tensor(dtype, y));
}

// Each element counted (of the output; of the input where it is transposed) meets the weights of its channel.
double convolution_macs(const Shape& weight, const Shape& counted) {
  return weight.size() < 2 ? 0
                           : element_count(counted) * element_count(Shape(weight.begin() + 1, weight.end()));
}

std::vector<Op> conv_ops() {
  const std::vector<Role> roles = {Role::kConstant, Role::kWeight, Role::kWeight};
  return {
      {.name = "Conv",
       .since = 1,
       .roles = roles,
       .quant = QuantPart::kCompute,
       .bind = bind_conv,
       .infer = [](InferContext& context) { infer_convolution(context, 1, DType::kUndefined); },
       .macs = conv_macs,
       .channel_axis = [](const Node&, size_t, int64_t) -> int64_t { return 0; }},
      // Output channels are (group, weight axis 1).
      {.name = "ConvTranspose",
       .since = 1,
       .roles = roles,
       .quant = QuantPart::kCompute,
       .bind = bind_conv_transpose,
       .infer = infer_conv_transpose,
       .macs = conv_transpose_macs,
       .channel_axis = [](const Node&, size_t input, int64_t) -> int64_t { return input == 1 ? 1 : 0; }},
  };
}

}  // namespace mc
