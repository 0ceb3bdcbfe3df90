// Products of quantized tensors: ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul. The sums are exact:
// in float while every partial sum stays below 2^24, else in double, which holds every integer that 32-bit
// sums reach.
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

constexpr double kFloatIntegers = 1 << 24;  // floats hold every integer up to it
constexpr double kLargestCode = 255;        // of 8 bits, its zero point taken away

Kernel bind_qlinear_matmul(const BindContext&) {
  return [](const KernelArgs& args) {
    at::Tensor a = centred(args, 0, 2, -2), b = centred(args, 3, 5, -1);
    if (static_cast<double>(a.size(-1)) * kLargestCode * kLargestCode <= kFloatIntegers) {
      a = a.to(at::kFloat);
      b = b.to(at::kFloat);
    }
    const at::Tensor sums = at::matmul(a, b);
    const at::Tensor factor = quant_parameter_along(args.in(1), -2, sums.dim()) *
                              quant_parameter_along(args.in(4), -1, sums.dim()) / args.in(6).reshape({});
    args.out(0, requantize(sums, factor.to(at::kFloat), args, 7));
  };
}

// The convolution of codes with a weight that is known beforehand, as sums of integers. Where they might
// leave the integers that float holds, the weight is split into 16 * high + low.
class ExactConvolution {
 public:
  explicit ExactConvolution(const BindContext& context) : convolution_(context, 3) {
    const Tensor* weight = context.constant(3);
    const Tensor* zero = context.constant(5);
    if (!weight || dtype_bits(weight->dtype) != 8 || weight->dims.size() < 3) return;
    if (!zero && !context.node.input(5).empty()) return;
    at::Tensor w = to_aten(*weight, false).to(at::kFloat);
    if (zero) w = w - quant_parameter_along(to_aten(*zero, false).to(at::kFloat), 0, w.dim());
    const at::Tensor sums = largest_sums(w);
    const Tensor* bias = context.constant(8);
    adds_bias_ = bias && bias->count() == sums.numel() &&
                 holds(sums + to_aten(*bias, false).to(at::kDouble).flatten().abs());
    if (holds(sums)) {
      parts_ = {w};
    } else {
      const at::Tensor high = at::round(w / 16);
      if (holds(largest_sums(high)) && holds(largest_sums(w - 16 * high)))
        parts_ = {16 * high, w - 16 * high};
    }
    for (at::Tensor& part : parts_) {
      if (part.dim() == 4) part = part.contiguous(at::MemoryFormat::ChannelsLast);
    }
  }

  at::Tensor operator()(const KernelArgs& args) const {
    const at::Tensor bias = args.in_or(8);
    if (parts_.empty()) {
      return convolution_(centred(args, 0, 2, 1), centred(args, 3, 5, 0),
                          bias.defined() ? bias.to(at::kDouble) : bias);
    }
    at::Tensor x = args.in(0).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
    if (args.has(2)) x.sub_(args.in(2).reshape({}).to(at::kFloat));
    const at::Tensor w = parts_[0].to(x.device());
    if (adds_bias_) return convolution_(x, w, bias.to(at::kFloat));
    at::Tensor sums = convolution_(x, w, {});
    if (parts_.size() == 1 && !bias.defined()) return sums;
    sums = sums.to(at::kDouble);
    if (parts_.size() == 2) sums += convolution_(x, parts_[1].to(x.device()), {});
    return bias.defined() ? sums.add_(quant_parameter_along(bias.to(at::kDouble), 1, sums.dim())) : sums;
  }

 private:
  // Of each output channel, with zeros in the padding, in any order.
  static at::Tensor largest_sums(const at::Tensor& weight) {
    return weight.abs().flatten(1).sum(1, false, at::kDouble) * kLargestCode;
  }
  static bool holds(const at::Tensor& sums) { return sums.le(kFloatIntegers).all().item<bool>(); }

  Convolution convolution_;
  std::vector<at::Tensor> parts_;  // floats; none where the sums need doubles
  bool adds_bias_ = false;         // sums of floats hold with the bias too
};

Kernel bind_qlinear_conv(const BindContext& context) {
  return [convolution = ExactConvolution(context)](const KernelArgs& args) {
    const at::Tensor sums = convolution(args);
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
