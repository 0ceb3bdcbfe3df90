// The Microsoft domain: operators of quantized tensors. Each means: dequantize, compute in float, quantize.
// Sums, products and averages round where ONNX Runtime's own kernels round, so that ties fall alike: often
// with the zero point added before, which moves the even integers.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/linear_quant.h"
#include "mc/ops/window.h"

namespace mc {
namespace {

// Inputs `first` to `first + 2` are codes, scale and zero point (which may be omitted).
at::Tensor dequantized_input(const KernelArgs& args, size_t first) {
  at::Tensor x = args.in(first).to(at::kFloat);
  MC_CHECK(args.in(first + 1).numel() == 1, "input {} has {} scales, not 1", first + 1,
           args.in(first + 1).numel());
  if (args.has(first + 2)) x = x - args.in(first + 2).reshape({}).to(at::kFloat);
  return x * args.in(first + 1).reshape({});
}

// Inputs `scale` and `scale + 1` say how the result is quantized; `like` is the input whose type it has.
Slot quantized_output(const at::Tensor& y, const KernelArgs& args, size_t scale, size_t like) {
  const at::Tensor zero = args.has(scale + 1) ? args.in(scale + 1).reshape({}) : at::Tensor();
  return round_to(y / args.in(scale).reshape({}), zero, args.slot(like).dtype(), true);
}

// Codes, scale and zero point in, the output's scale and zero point behind them.
Kernel quantized_unary(std::function<at::Tensor(const at::Tensor&)> function) {
  return [function = std::move(function)](const KernelArgs& args) {
    args.out(0, quantized_output(function(dequantized_input(args, 0)), args, 3, 0));
  };
}

// A zero point (0 where omitted) as one float.
at::Tensor zero_point(const KernelArgs& args, size_t i, const at::Tensor& like) {
  return args.has(i) ? args.in(i).reshape({}).to(at::kFloat)
                     : at::zeros({}, like.options().dtype(at::kFloat));
}

// a * b + c rounded once: the product of an integer of 8 bits and a float is exact in double.
at::Tensor multiply_add(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c) {
  return (a.to(at::kDouble) * b.to(at::kDouble) + c).to(at::kFloat);
}

Kernel bind_qlinear_add(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor &a = args.in(0), &b = args.in(3), scale = args.in(6).reshape({});
    const at::Tensor ratio_a = args.in(1).reshape({}) / scale, ratio_b = args.in(4).reshape({}) / scale;
    const at::Tensor fixed =
        zero_point(args, 7, a) - (ratio_a * zero_point(args, 2, a) + ratio_b * zero_point(args, 5, b));
    args.out(0, round_to(multiply_add(a, ratio_a, multiply_add(b, ratio_b, fixed)), {}, args.slot(0).dtype(),
                         true));
  };
}

Kernel bind_qlinear_mul(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor &a = args.in(0), &b = args.in(3);
    const at::Tensor factor = args.in(1).reshape({}) * args.in(4).reshape({}) / args.in(6).reshape({});
    const at::Tensor product =
        (a.to(at::kFloat) - zero_point(args, 2, a)) * (b.to(at::kFloat) - zero_point(args, 5, b));
    args.out(0, round_to(product * factor + zero_point(args, 7, a), {}, args.slot(0).dtype(), true));
  };
}

void infer_qlinear_binary(InferContext& context) {
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, 3);
  context.output(0, Type::tensor(input_dtype(context, 0),
                                 a && b ? std::optional(broadcast_shapes(*a, *b)) : std::nullopt));
}

// The pool of [batch, channels, space...], or, with channels_last, of [batch, space..., channels].
Kernel bind_qlinear_average_pool(const BindContext& context) {
  const bool last = context.node.get_int("channels_last", 0) != 0;
  return [last, pool = operator_function(pool_ops(), "AveragePool", context.node.attributes)](
             const KernelArgs& args) {
    const at::Tensor x = dequantized_input(args, 0);
    MC_CHECK(x.dim() >= 3, "the input has {} dims; batch, channels and space are needed", x.dim());
    const at::Tensor y = last ? pool({x.movedim(-1, 1).contiguous()}).movedim(1, -1) : pool({x});
    args.out(0,
             round_to(y / args.in(3).reshape({}) + zero_point(args, 4, x), {}, args.slot(0).dtype(), true));
  };
}

void infer_qlinear_average_pool(InferContext& context) {
  const size_t space = context.node().get_int("channels_last", 0) != 0 ? 1 : 2;
  const Window window = parse_window(context.node(), {});
  const Shape* x = input_shape(context, 0);
  Shape y(window.rank() + 2);
  if (x) {
    MC_CHECK(x->size() == y.size(), "the input has {} dims; the window needs {}", x->size(), y.size());
    y = *x;
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      Dim& size = y[axis + space];
      if (size.known()) size = Dim(window.output_size(axis, size.value));
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

Kernel bind_qlinear_global_pool(const BindContext& context) {
  const bool last = context.node.get_int("channels_last", 0) != 0;
  return [last](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() >= 3, "the input has {} dims; batch, channels and space are needed", x.dim());
    std::vector<int64_t> axes;
    int64_t size = 1;
    for (int64_t axis = last ? 1 : 2; axis < x.dim() - (last ? 1 : 0); ++axis) {
      axes.push_back(axis);
      size *= x.size(axis);
    }
    const at::Tensor sums =
        x.sum(axes, /*keepdim=*/true, at::kLong) - zero_point(args, 2, x).to(at::kLong) * size;
    const at::Tensor factor = args.in(1).reshape({}) / (args.in(3).reshape({}) * static_cast<double>(size));
    const at::Tensor zero = args.has(4) ? args.in(4).reshape({}) : at::Tensor();
    args.out(0, round_to(sums.to(at::kFloat) * factor, zero, args.slot(0).dtype(), true));
  };
}

void infer_qlinear_global_pool(InferContext& context) {
  const bool last = context.node().get_int("channels_last", 0) != 0;
  std::optional<Shape> y;
  if (const Shape* x = input_shape(context, 0)) {
    MC_CHECK(x->size() >= 3, "the input has {} dims; batch, channels and space are needed", x->size());
    y = Shape(x->size(), Dim(1));
    y->front() = x->front();
    (*y)[last ? x->size() - 1 : 1] = (*x)[last ? x->size() - 1 : 1];
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

Kernel bind_qlinear_sigmoid(const BindContext&) {
  return quantized_unary([](const at::Tensor& x) { return at::sigmoid(x); });
}

Kernel bind_qlinear_leaky_relu(const BindContext& context) {
  const double alpha = context.node.get_float("alpha", 0.01f);
  return quantized_unary([alpha](const at::Tensor& x) { return at::leaky_relu(x, alpha); });
}

Kernel bind_qlinear_softmax(const BindContext& context) {
  const int64_t axis = context.node.get_int("axis", -1), opset = context.node.get_int("opset", 13);
  return quantized_unary([softmax = operator_function(softmax_ops(), "Softmax", {{"axis", axis}}, opset)](
                             const at::Tensor& x) { return softmax({x}); });
}

// Scale and zero point of the output first, then codes, scale and zero point of each part.
Kernel bind_qlinear_concat(const BindContext& context) {
  const int64_t axis = context.node.get_int("axis", 0);
  MC_CHECK(context.node.inputs.size() >= 5 && context.node.inputs.size() % 3 == 2,
           "there are {} inputs; an output's 2 and 3 for each part are needed", context.node.inputs.size());
  return [axis](const KernelArgs& args) {
    std::vector<at::Tensor> parts;
    for (size_t i = 2; i < args.input_count(); i += 3) parts.push_back(dequantized_input(args, i));
    args.out(0, quantized_output(at::cat(parts, axis), args, 0, 2));
  };
}

void infer_qlinear_concat(InferContext& context) {
  std::optional<Shape> y;
  Dim total(0);
  const size_t count = context.node().inputs.size();
  for (size_t i = 2; i < count; i += 3) {
    const Shape* part = input_shape(context, i);
    if (!part) return context.output(0, Type::tensor(input_dtype(context, 2)));
    if (!y) y = *part;
    MC_CHECK(y->size() == part->size(), "parts have {} and {} dims", y->size(), part->size());
    const int64_t axis =
        normalize_axis(context.node().get_int("axis", 0), static_cast<int64_t>(part->size()));
    total = add_dims(total, (*part)[axis]);
    for (int64_t d = 0; d < static_cast<int64_t>(y->size()); ++d) {
      (*y)[d] = d == axis ? total : merge_dims((*y)[d], (*part)[d]);
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 2), y));
}

Kernel bind_qlinear_where(const BindContext&) {
  return [](const KernelArgs& args) {
    args.out(0,
             quantized_output(at::where(args.in(0), dequantized_input(args, 1), dequantized_input(args, 4)),
                              args, 7, 1));
  };
}

void infer_qlinear_where(InferContext& context) {
  const Shape* condition = input_shape(context, 0);
  const Shape* x = input_shape(context, 1);
  const Shape* y = input_shape(context, 4);
  std::optional<Shape> z;
  if (condition && x && y) z = broadcast_shapes(*condition, broadcast_shapes(*x, *y));
  context.output(0, Type::tensor(input_dtype(context, 1), z));
}

Op quantized_op(const char* name, std::function<Kernel(const BindContext&)> bind,
                std::function<void(InferContext&)> infer) {
  Op op = microsoft_op(name, std::move(bind), std::move(infer));
  op.differentiable = false;
  return op;
}

}  // namespace

std::vector<Op> contrib_quant_ops() {
  return {
      quantized_op("QLinearAdd", bind_qlinear_add, infer_qlinear_binary),
      quantized_op("QLinearMul", bind_qlinear_mul, infer_qlinear_binary),
      quantized_op("QLinearSigmoid", bind_qlinear_sigmoid, infer_same_as_input),
      quantized_op("QLinearLeakyRelu", bind_qlinear_leaky_relu, infer_same_as_input),
      quantized_op("QLinearSoftmax", bind_qlinear_softmax, infer_same_as_input),
      quantized_op("QLinearAveragePool", bind_qlinear_average_pool, infer_qlinear_average_pool),
      quantized_op("QLinearGlobalAveragePool", bind_qlinear_global_pool, infer_qlinear_global_pool),
      quantized_op("QLinearConcat", bind_qlinear_concat, infer_qlinear_concat),
      quantized_op("QLinearWhere", bind_qlinear_where, infer_qlinear_where),
      microsoft_twin(quantize_ops(), "QuantizeLinear"),
      microsoft_twin(quantize_ops(), "DequantizeLinear"),
  };
}

}  // namespace mc
