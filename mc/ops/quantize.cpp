// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: y = saturate(round(x / scale) + zero point),
// ties to even, in float as ONNX Runtime computes it.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/linear_quant.h"

namespace mc {
namespace {

// A scale or zero point in the shape that meets x: one number, one a slice of `axis`, one a block of it.
at::Tensor spread(const at::Tensor& parameter, const at::Tensor& x, int64_t axis, int64_t block) {
  if (block == 0 && parameter.numel() == 1) return parameter.reshape({});
  axis = normalize_axis(axis, x.dim());
  if (block == 0) {
    MC_CHECK(parameter.dim() == 1 && parameter.size(0) == x.size(axis),
             "scale and zero point have {} elements; axis {} has {}", parameter.numel(), axis, x.size(axis));
    std::vector<int64_t> shape(x.dim(), 1);
    shape[axis] = parameter.size(0);
    return parameter.view(shape);
  }
  MC_CHECK(
      block > 0 && parameter.dim() == x.dim() && parameter.size(axis) == (x.size(axis) + block - 1) / block,
      "scale and zero point do not give one number for each block of {} along axis {}", block, axis);
  return parameter.repeat_interleave(block, axis).narrow(axis, 0, x.size(axis));
}

struct Attributes {
  int64_t axis, block;
  bool saturate;
  DType output;     // kUndefined: told by the inputs
  DType precision;  // of the division; kUndefined: float
};

DType type_attribute(const Node& node, const char* name) {
  const int64_t number = node.get_int(name, 0);
  MC_CHECK(number == 0 || (number > 0 && number < 64 && dtype_known(static_cast<int32_t>(number))),
           "{} is {}, which is no element type", name, number);
  return static_cast<DType>(number);
}

Attributes parse(const Node& node) {
  return {node.get_int("axis", 1), node.get_int("block_size", 0), node.get_int("saturate", 1) != 0,
          type_attribute(node, "output_dtype"), type_attribute(node, "precision")};
}

Kernel bind_quantize(const BindContext& context) {
  return [attributes = parse(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    DType type = args.has(2) ? args.slot(2).dtype() : attributes.output;
    if (type == DType::kUndefined) type = DType::kUInt8;
    MC_CHECK(!args.has(2) || attributes.output == DType::kUndefined || attributes.output == type,
             "output_dtype is {} and the zero point {}", dtype_name(attributes.output), dtype_name(type));
    const at::Tensor scale = spread(args.in(1), x, attributes.axis, attributes.block);
    const at::Tensor zero =
        args.has(2) ? spread(args.in(2), x, attributes.axis, attributes.block) : at::Tensor();
    const at::ScalarType math =
        attributes.precision == DType::kUndefined ? at::kFloat : to_scalar_type(attributes.precision);
    args.out(0, round_to(x.to(math) / scale.to(math), zero, type, attributes.saturate));
  };
}

Kernel bind_dequantize(const BindContext& context) {
  return [attributes = parse(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor scale = spread(args.in(1), x, attributes.axis, attributes.block);
    const at::ScalarType math = at::promote_types(scale.scalar_type(), at::kFloat);
    at::Tensor y = x;
    if (args.has(2) && at::isIntegralType(x.scalar_type(), false)) {
      y = y.to(at::kInt) - spread(args.in(2), x, attributes.axis, attributes.block).to(at::kInt);
    }
    y = y.to(math) * scale.to(math);
    args.out(0, y.to(attributes.output == DType::kUndefined ? scale.scalar_type()
                                                            : to_scalar_type(attributes.output)));
  };
}

void infer_quantize(InferContext& context) {
  DType type = input_dtype(context, 2);
  if (type == DType::kUndefined) type = type_attribute(context.node(), "output_dtype");
  const bool told = type != DType::kUndefined || context.node().input(2).empty();
  infer_same_shape(context, told && type == DType::kUndefined ? DType::kUInt8 : type);
}

void infer_dequantize(InferContext& context) {
  const DType type = type_attribute(context.node(), "output_dtype");
  infer_same_shape(context, type == DType::kUndefined ? input_dtype(context, 1) : type);
}

Kernel bind_dynamic_quantize(const BindContext&) {
  return [](const KernelArgs& args) {
    const DynamicallyQuantized x = quantize_dynamically(args.in(0));
    args.out(0, x.codes);
    args.out(1, x.scale);
    args.out(2, x.zero_point);
  };
}

void infer_dynamic_quantize(InferContext& context) {
  infer_same_shape(context, DType::kUInt8);
  context.output(1, Type::tensor(DType::kFloat, Shape()));
  context.output(2, Type::tensor(DType::kUInt8, Shape()));
}

}  // namespace

std::vector<Op> quantize_ops() {
  const std::vector<Role> roles = {Role::kConstant, Role::kState, Role::kState};
  return {
      {.name = "QuantizeLinear",
       .since = 10,
       .roles = roles,
       .differentiable = false,
       .bind = bind_quantize,
       .infer = infer_quantize},
      {.name = "DequantizeLinear",
       .since = 10,
       .roles = roles,
       .bind = bind_dequantize,
       .infer = infer_dequantize},
      {.name = "DynamicQuantizeLinear",
       .since = 11,
       .differentiable = false,
       .bind = bind_dynamic_quantize,
       .infer = infer_dynamic_quantize},
  };
}

}  // namespace mc
