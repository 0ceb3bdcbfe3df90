// Products of quantized tensors: ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul. The sums are exact:
// they are made in double, which holds every integer that 32-bit sums reach.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/conv.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/linear_quant.h"

namespace mc {
namespace {

// x - zero_point as doubles; `axis` is the one that zero points of several numbers lie along.
at::Tensor centred(const KernelArgs& args, size_t data, size_t zero_point, int64_t axis) {
  const at::Tensor x = args.in(data).to(at::kDouble);
  if (!args.has(zero_point)) return x;
  return x - quant_parameter_along(args.in(zero_point), x.dim() == 1 ? 0 : axis, x.dim()).to(at::kDouble);
}

// Sums of integers, rescaled to the output's scale and type. The factor is a float, as in ONNX Runtime.
Slot requantize(const at::Tensor& sums, const at::Tensor& factor, const KernelArgs& args, size_t zero_point) {
  const at::Tensor scaled = sums.to(at::kFloat) * factor;
  return round_to(scaled, args.in(zero_point).reshape({}), args.slot(zero_point).dtype(), true);
}

Kernel bind_matmul_integer(const BindContext&) {
  return [](const KernelArgs& args) {
    args.out(0, at::matmul(centred(args, 0, 2, -2), centred(args, 1, 3, -1)).to(at::kInt));
  };
}

Kernel bind_conv_integer(const BindContext& context) {
  return [convolution = Convolution(context, 1)](const KernelArgs& args) {
    args.out(0, convolution(centred(args, 0, 2, 1), centred(args, 1, 3, 0), {}).to(at::kInt));
  };
}

Kernel bind_qlinear_matmul(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor sums = at::matmul(centred(args, 0, 2, -2), centred(args, 3, 5, -1));
    const at::Tensor factor = quant_parameter_along(args.in(1), -2, sums.dim()) *
                              quant_parameter_along(args.in(4), -1, sums.dim()) / args.in(6).reshape({});
    args.out(0, requantize(sums, factor.to(at::kFloat), args, 7));
  };
}

Kernel bind_qlinear_conv(const BindContext& context) {
  return [convolution = Convolution(context, 3)](const KernelArgs& args) {
    const at::Tensor bias = args.has(8) ? args.in(8).to(at::kDouble) : at::Tensor();
    const at::Tensor sums = convolution(centred(args, 0, 2, 1), centred(args, 3, 5, 0), bias);
    const at::Tensor factor =
        args.in(1).reshape({}) * quant_parameter_along(args.in(4), 1, sums.dim()) / args.in(6).reshape({});
    args.out(0, requantize(sums, factor, args, 7));
  };
}

// The product of inputs 0 and `other` by numpy's rules.
void infer_product(InferContext& context, size_t other, DType dtype) {
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, other);
  context.output(0, Type::tensor(dtype, a && b ? std::optional(matmul_shape(*a, *b)) : std::nullopt));
}

Op integer_op(const char* name, std::function<Kernel(const BindContext&)> bind,
              std::function<void(InferContext&)> infer, bool is_convolution, size_t weight) {
  Op op{
      .name = name, .since = 10, .differentiable = false, .bind = std::move(bind), .infer = std::move(infer)};
  op.macs = [=](const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs) -> double {
    if (is_convolution) return convolution_macs(inputs[weight], outputs[0]);
    return inputs[0].empty() ? 0 : element_count(outputs[0]) * element_count({inputs[0].back()});
  };
  return op;
}

}  // namespace

std::vector<Op> integer_ops() {
  return {
      integer_op(
          "MatMulInteger", bind_matmul_integer,
          [](InferContext& context) { infer_product(context, 1, DType::kInt32); }, false, 1),
      integer_op(
          "ConvInteger", bind_conv_integer,
          [](InferContext& context) { infer_convolution(context, 1, DType::kInt32); }, true, 1),
      integer_op(
          "QLinearMatMul", bind_qlinear_matmul,
          [](InferContext& context) { infer_product(context, 3, input_dtype(context, 7)); }, false, 3),
      integer_op(
          "QLinearConv", bind_qlinear_conv,
          [](InferContext& context) { infer_convolution(context, 3, input_dtype(context, 7)); }, true, 3),
  };
}

}  // namespace mc
