// Arithmetic and functions of single elements, with numpy's broadcasting.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/base/error.h"
#include "mc/ops/add_relu.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using Unary = at::Tensor (*)(const at::Tensor&);
using Binary = at::Tensor (*)(const at::Tensor&, const at::Tensor&);
using DimFunction = Dim (*)(const Dim&, const Dim&);

// LibTorch stores these types but has no arithmetic for them; their values fit int64 (uint64 wraps, as it
// does in ONNX's own arithmetic).
bool lacks_arithmetic(at::ScalarType type) {
  return type == at::kUInt16 || type == at::kUInt32 || type == at::kUInt64;
}

at::Tensor apply(Unary function, const at::Tensor& x) {
  if (!lacks_arithmetic(x.scalar_type())) return function(x);
  return function(x.to(at::kLong)).to(x.scalar_type());
}

at::Tensor apply(Binary function, const at::Tensor& a, const at::Tensor& b) {
  if (!lacks_arithmetic(a.scalar_type()) && !lacks_arithmetic(b.scalar_type())) return function(a, b);
  return function(a.to(at::kLong), b.to(at::kLong)).to(a.scalar_type());
}

at::Tensor divide(const at::Tensor& a, const at::Tensor& b) {
  return at::isIntegralType(a.scalar_type(), true) ? at::div(a, b, "trunc") : at::div(a, b);
}

// The result has the base's type whatever the exponent's.
at::Tensor power(const at::Tensor& base, const at::Tensor& exponent) {
  return at::pow(base, exponent).to(base.scalar_type());
}

Dim subtract_dims(const Dim& a, const Dim& b) {
  if (a.known() && b.known() && a.value >= b.value) return Dim(a.value - b.value);
  if (!a.symbol.empty() && a.symbol == b.symbol) return Dim(0);
  return b.value == 0 ? a : Dim();
}

Dim divide_dims(const Dim& a, const Dim& b) {
  if (b.value == 1) return a;
  return a.known() && b.value > 0 ? Dim(a.value / b.value) : Dim();
}

// Broadcasts the types, and computes shapes element by element where both inputs are such.
void infer_arithmetic(InferContext& context, DimFunction function) {
  infer_broadcast(context);
  const auto a = context.shape_value(0);
  const auto b = context.shape_value(1);
  if (!a || !b || a->empty() || b->empty()) return;
  const size_t count = std::max(a->size(), b->size());
  if ((a->size() != count && a->size() != 1) || (b->size() != count && b->size() != 1)) return;
  Shape result;
  for (size_t i = 0; i < count; ++i) {
    result.push_back(function((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]));
  }
  context.output_shape_value(0, result);
}

Op unary_op(const char* name, int64_t since, Unary function) {
  auto bind = [function](const BindContext&) {
    return unary([function](const at::Tensor& x) { return apply(function, x); });
  };
  return make_op(name, since, bind, infer_same_as_input);
}

Op binary_op(const char* name, int64_t since, Binary function) {
  auto bind = [function](const BindContext&) {
    return binary([function](const at::Tensor& a, const at::Tensor& b) { return apply(function, a, b); });
  };
  return make_op(name, since, bind, infer_broadcast);
}

Op arithmetic_op(const char* name, Binary function, DimFunction dims, QuantPart quant = QuantPart::kNone) {
  Op op = binary_op(name, 7, function);
  op.infer = [dims](InferContext& context) { infer_arithmetic(context, dims); };
  op.quant = quant;
  return op;
}

// Folds any number of inputs; `mean` divides by their number.
Op variadic_op(const char* name, Binary function, bool mean = false) {
  auto bind = [function, mean](const BindContext&) -> Kernel {
    return [function, mean](const KernelArgs& args) {
      at::Tensor result = args.in(0);
      for (size_t i = 1; i < args.input_count(); ++i) {
        const at::Tensor& next = args.in(i);
        if (result.is_cpu() && !next.is_cpu()) result = result.to(next.device());
        result = apply(function, result, on_device_of(next, result));
      }
      if (mean && args.input_count() > 1) result = result / static_cast<double>(args.input_count());
      args.out(0, result);
    };
  };
  return make_op(name, 6, bind, infer_broadcast);
}

Kernel bind_mod(const BindContext& context) {
  const bool truncated = context.node.get_int("fmod", 0) != 0;
  const Binary function =
      truncated ? Binary([](const at::Tensor& a, const at::Tensor& b) { return at::fmod(a, b); })
                : Binary([](const at::Tensor& a, const at::Tensor& b) { return at::remainder(a, b); });
  return binary([function](const at::Tensor& a, const at::Tensor& b) { return apply(function, a, b); });
}

Kernel bind_bit_shift(const BindContext& context) {
  const std::string direction = context.node.get_string("direction", "");
  MC_CHECK(direction == "LEFT" || direction == "RIGHT", "direction is '{}', not LEFT or RIGHT", direction);
  const Binary function =
      direction == "LEFT"
          ? Binary([](const at::Tensor& a, const at::Tensor& b) { return a.bitwise_left_shift(b); })
          : Binary([](const at::Tensor& a, const at::Tensor& b) { return a.bitwise_right_shift(b); });
  return binary([function](const at::Tensor& a, const at::Tensor& b) { return apply(function, a, b); });
}

// In one pass over memory where both lie alike; LibTorch's own fused form loses infinity, and NaN in places.
at::Tensor sum_relu(const at::Tensor& a, const at::Tensor& b) {
  const bool alike = a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && a.is_cpu() &&
                     b.is_cpu() && a.sizes() == b.sizes() && a.strides() == b.strides() &&
                     a.is_non_overlapping_and_dense();
  if (!alike) return at::add(a, b).relu_();
  at::Tensor sum = at::empty_like(a);
  const float *left = a.const_data_ptr<float>(), *right = b.const_data_ptr<float>();
  float* out = sum.mutable_data_ptr<float>();
  at::parallel_for(0, a.numel(), at::internal::GRAIN_SIZE, [&](int64_t begin, int64_t end) {
    add_relu(left + begin, right + begin, out + begin, end - begin);
  });
  return sum;
}

// Of plans of inference (the pass fuse_add_relu).
Op add_relu_op() {
  Op op = make_op("AddRelu", 1, [](const BindContext&) { return binary(sum_relu); }, infer_broadcast);
  op.domain = "mc";
  op.differentiable = false;
  return op;
}

Kernel bind_is_inf(const BindContext& context) {
  const bool negative = context.node.get_int("detect_negative", 1) != 0;
  const bool positive = context.node.get_int("detect_positive", 1) != 0;
  return unary([negative, positive](const at::Tensor& x) {
    // float8 has no comparisons of its own.
    const at::Tensor wide = x.element_size() == 1 ? x.to(at::kFloat) : x;
    if (negative && positive) return at::isinf(wide);
    if (negative) return at::isneginf(wide);
    return positive ? at::isposinf(wide) : at::zeros_like(wide, at::kBool);
  });
}

Kernel bind_is_nan(const BindContext&) {
  return unary([](const at::Tensor& x) { return at::isnan(x.element_size() == 1 ? x.to(at::kFloat) : x); });
}

void infer_bool(InferContext& context) {
  infer_same_shape(context, DType::kBool);
}

}  // namespace

std::vector<Op> elementwise_ops() {
  const Binary add = [](const at::Tensor& a, const at::Tensor& b) { return at::add(a, b); };
  const Binary subtract = [](const at::Tensor& a, const at::Tensor& b) { return at::sub(a, b); };
  const Binary multiply = [](const at::Tensor& a, const at::Tensor& b) { return at::mul(a, b); };
  std::vector<Op> ops = {
      arithmetic_op("Add", add, add_dims, QuantPart::kAdd),
      arithmetic_op("Sub", subtract, subtract_dims),
      arithmetic_op("Mul", multiply, multiply_dims, QuantPart::kAdd),
      arithmetic_op("Div", divide, divide_dims),
      binary_op("Pow", 7, power),
      make_op("Mod", 10, bind_mod, infer_broadcast),
      variadic_op("Min", [](const at::Tensor& a, const at::Tensor& b) { return at::minimum(a, b); }),
      variadic_op("Max", [](const at::Tensor& a, const at::Tensor& b) { return at::maximum(a, b); }),
      variadic_op("Sum", add),
      variadic_op("Mean", add, true),
      unary_op("Neg", 6, at::neg),
      unary_op("Abs", 6, at::abs),
      unary_op("Sqrt", 6, at::sqrt),
      unary_op("Exp", 6, at::exp),
      unary_op("Log", 6, at::log),
      unary_op("Reciprocal", 6, at::reciprocal),
      unary_op("Sign", 9, at::sign),
      unary_op("Floor", 6, at::floor),
      unary_op("Ceil", 6, at::ceil),
      unary_op("Round", 11, [](const at::Tensor& x) { return at::round(x); }),
      unary_op("Erf", 9, at::erf),
      unary_op("Sin", 7, at::sin),
      unary_op("Cos", 7, at::cos),
      unary_op("Tan", 7, at::tan),
      unary_op("Asin", 7, at::asin),
      unary_op("Acos", 7, at::acos),
      unary_op("Atan", 7, at::atan),
      unary_op("Sinh", 9, at::sinh),
      unary_op("Cosh", 9, at::cosh),
      unary_op("Asinh", 9, at::asinh),
      unary_op("Acosh", 9, at::acosh),
      unary_op("Atanh", 9, at::atanh),
      make_op("BitShift", 11, bind_bit_shift, infer_broadcast),
      binary_op("BitwiseAnd", 18,
                [](const at::Tensor& a, const at::Tensor& b) { return at::bitwise_and(a, b); }),
      binary_op("BitwiseOr", 18,
                [](const at::Tensor& a, const at::Tensor& b) { return at::bitwise_or(a, b); }),
      binary_op("BitwiseXor", 18,
                [](const at::Tensor& a, const at::Tensor& b) { return at::bitwise_xor(a, b); }),
      unary_op("BitwiseNot", 18, at::bitwise_not),
      make_op("IsNaN", 9, bind_is_nan, infer_bool),
      make_op("IsInf", 10, bind_is_inf, infer_bool),
      add_relu_op(),
  };
  for (Op& op : ops) {
    if (op.name.starts_with("Bit") || op.name.starts_with("Is")) op.differentiable = false;
  }
  return ops;
}

}  // namespace mc
