// The Microsoft domain: products of quantized matrices. As in integer.cpp, sums are made in double, so that
// they are exact.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/linear_quant.h"

namespace mc {
namespace {

// Codes less their zero point, which is one number or one for each slice of `axis`.
at::Tensor less_zero_point(const at::Tensor& codes, const at::Tensor& zero_point, int64_t axis) {
  const at::Tensor wide = codes.to(at::kDouble);
  if (!zero_point.defined()) return wide;
  return wide - quant_parameter_along(zero_point, axis, wide.dim()).to(at::kDouble);
}

// sums * a_scale * b_scale + bias, in float.
at::Tensor rescaled(const at::Tensor& sums, const at::Tensor& a_scale, const at::Tensor& b_scale,
                    const at::Tensor& bias) {
  const at::Tensor factor = a_scale.reshape({}) * quant_parameter_along(b_scale, -1, sums.dim());
  const at::Tensor y = sums.to(at::kFloat) * factor;
  return bias.defined() ? y + bias : y;
}

// A, B, a_scale, b_scale, a_zero_point, b_zero_point, bias.
Kernel bind_matmul_integer_to_float(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor sums = at::matmul(less_zero_point(args.in(0), args.in_or(4), -2),
                                       less_zero_point(args.in(1), args.in_or(5), -1));
    args.out(0, rescaled(sums, args.in(2), args.in(3), args.in_or(6)));
  };
}

// A float, B, b_scale, b_zero_point, bias: A is quantized by its own range first.
Kernel bind_dynamic_matmul(const BindContext&) {
  return [](const KernelArgs& args) {
    const DynamicallyQuantized a = quantize_dynamically(args.in(0));
    const at::Tensor sums = at::matmul(less_zero_point(a.codes, a.zero_point, -1),
                                       less_zero_point(args.in(1), args.in_or(3), -1));
    args.out(0, rescaled(sums, a.scale, args.in(2), args.in_or(4)));
  };
}

Kernel bind_matmul_integer16(const BindContext&) {
  return [](const KernelArgs& args) {
    args.out(0, at::matmul(args.in(0).to(at::kDouble), args.in(1).to(at::kDouble)).to(at::kInt));
  };
}

void infer_integer_product(InferContext& context, DType dtype) {
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, 1);
  context.output(0, Type::tensor(dtype, a && b ? std::optional(matmul_shape(*a, *b)) : std::nullopt));
}

// A, a_scale, a_zero_point, B, b_scale, b_zero_point, C (int32, of scale a_scale * b_scale), y_scale,
// y_zero_point. Without y_scale the output is float.
Kernel bind_qgemm(const BindContext& context) {
  const double alpha = context.node.get_float("alpha", 1);
  const bool trans_a = context.node.get_int("transA", 0) != 0;
  const bool trans_b = context.node.get_int("transB", 0) != 0;
  return [=](const KernelArgs& args) {
    MC_CHECK(!args.has(7) || args.has(8), "y_scale is there and y_zero_point is not");
    const at::Tensor a = trans_a ? args.in(0).t() : args.in(0);
    const at::Tensor b = trans_b ? args.in(3).t() : args.in(3);
    at::Tensor sums = at::mm(less_zero_point(a, args.in_or(2), -2), less_zero_point(b, args.in_or(5), -1));
    if (args.has(6)) sums = sums + args.in(6).to(at::kDouble);
    // One factor in float, in this order, as ONNX Runtime has it.
    at::Tensor factor = args.in(1).reshape({}) * alpha * quant_parameter_along(args.in(4), -1, sums.dim());
    if (args.has(7)) factor = factor / args.in(7).reshape({});
    const at::Tensor y = sums.to(at::kFloat) * factor;
    if (!args.has(7)) return args.out(0, y);
    args.out(0, round_to(y, args.in(8).reshape({}), args.slot(8).dtype(), true));
  };
}

void infer_qgemm(InferContext& context) {
  const size_t turn_a = context.node().get_int("transA", 0) ? 1 : 0;
  const size_t turn_b = context.node().get_int("transB", 0) ? 1 : 0;
  Shape y(2);
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, 3);
  for (const Shape* shape : {a, b}) {
    MC_CHECK(!shape || shape->size() == 2, "A and B must be matrices, not {}", to_string(*shape));
  }
  if (a) y[0] = (*a)[turn_a];
  if (b) y[1] = (*b)[1 - turn_b];
  if (a && b) merge_dims((*a)[1 - turn_a], (*b)[turn_b]);
  const bool is_float = context.node().input(7).empty();
  context.output(0, Type::tensor(is_float ? DType::kFloat : input_dtype(context, 8), y));
}

double integer_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  return inputs[0].empty() ? 0 : element_count(outputs[0]) * element_count({inputs[0].back()});
}

}  // namespace

std::vector<Op> contrib_integer_ops() {
  const auto infer_float = [](InferContext& context) { infer_integer_product(context, DType::kFloat); };
  const auto infer_int32 = [](InferContext& context) { infer_integer_product(context, DType::kInt32); };
  std::vector<Op> ops = {
      microsoft_op("MatMulIntegerToFloat", bind_matmul_integer_to_float, infer_float),
      microsoft_op("DynamicQuantizeMatMul", bind_dynamic_matmul, infer_float),
      microsoft_op("MatMulInteger16", bind_matmul_integer16, infer_int32),
      microsoft_op("QGemm", bind_qgemm, infer_qgemm),
      microsoft_twin(integer_ops(), "QLinearConv"),
  };
  for (Op& op : ops) {
    op.differentiable = false;
    if (!op.macs) op.macs = integer_macs;
  }
  ops.back().bind = [bind = ops.back().bind](const BindContext& context) {
    MC_CHECK(context.node.get_int("channels_last", 0) == 0, "channels_last = 1 is not supported");
    return bind(context);
  };
  return ops;
}

}  // namespace mc
