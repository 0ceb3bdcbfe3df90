// Changes of element type, and Identity.
#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/float4.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// A float8 type: its largest finite value, the magnitude from which on rounding leaves it, and what then
// stands for the value unless it saturates. Zero for other types.
struct Float8 {
  double largest = 0;
  double overflow = 0;
  double beyond = 0;
};

Float8 float8(DType type) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  switch (type) {
    case DType::kFloat8E4M3FN:
      return {448, std::nextafter(464, 465), nan};  // 464 itself ties to the even 448
    case DType::kFloat8E4M3FNUZ:
      return {240, 248, nan};
    case DType::kFloat8E5M2:
      return {57344, 61440, infinity};
    case DType::kFloat8E5M2FNUZ:
      return {57344, 61440, nan};
    default:
      return {};
  }
}

at::Tensor to_float8(const at::Tensor& x, DType to, bool saturate) {
  const Float8 limits = float8(to);
  const at::Tensor wide = x.to(at::kDouble);
  at::Tensor values = wide.clamp(-limits.largest, limits.largest);
  if (!saturate)
    values = at::where(wide.abs() >= limits.overflow, at::copysign(at::full_like(wide, limits.beyond), wide),
                       values);
  return values.to(at::kFloat).to(to_scalar_type(to));
}

bool sub_byte(DType type) {
  return dtype_bits(type) > 0 && dtype_bits(type) < 8;
}

// Sub-byte integers are kept one a byte and wrap around like the machine's own types.
Slot to_sub_byte(const at::Tensor& x, DType to) {
  if (to == DType::kFloat4E2M1) return to_float4(x);
  const int64_t range = int64_t{1} << dtype_bits(to);
  const bool is_signed = to == DType::kInt4 || to == DType::kInt2;
  at::Tensor code = x.to(at::kLong).remainder(range);
  if (is_signed) code = at::where(code >= range / 2, code - range, code);
  Slot result = code.to(is_signed ? at::kChar : at::kByte);
  auto extra = std::make_shared<Slot::Extra>();
  extra->dtype = to;
  result.extra = std::move(extra);
  return result;
}

// E8M0 holds powers of two only; round_mode says which (2^-127 and 2^127 bound it).
at::Tensor to_e8m0(const at::Tensor& x, const std::string& round_mode, bool saturate) {
  const at::Tensor log = at::log2(x.to(at::kDouble).abs());
  at::Tensor exponent = log.floor();
  const at::Tensor rest = x.to(at::kDouble).abs() / at::exp2(exponent);
  if (round_mode == "up") exponent = log.ceil();
  if (round_mode == "nearest") exponent = at::where(rest >= 1.5, exponent + 1, exponent);
  if (saturate) exponent = exponent.clamp(-127, 127);
  const at::Tensor code = at::where(exponent.isnan() | (exponent > 127), 255, exponent + 127).to(at::kByte);
  return code.view(at::kFloat8_e8m0fnu);
}

Slot strings_of(const at::Tensor& x) {
  auto extra = std::make_shared<Slot::Extra>();
  extra->is_strings = true;
  extra->string_dims = x.sizes().vec();
  const bool whole = at::isIntegralType(x.scalar_type(), true);
  for (double value : tensor_doubles(x)) {
    if (std::isnan(value)) {
      extra->strings.emplace_back("NaN");
    } else if (std::isinf(value)) {
      extra->strings.emplace_back(value > 0 ? "INF" : "-INF");
    } else if (x.scalar_type() == at::kDouble || whole) {
      extra->strings.push_back(fmt::format("{}", value));
    } else {
      extra->strings.push_back(fmt::format("{}", static_cast<float>(value)));  // shortest that reads back
    }
  }
  Slot slot;
  slot.extra = std::move(extra);
  return slot;
}

at::Tensor numbers_of(const Slot::Extra& extra) {
  at::Tensor values = at::empty({static_cast<int64_t>(extra.strings.size())}, at::kDouble);
  for (size_t i = 0; i < extra.strings.size(); ++i) {
    char* end = nullptr;
    values.data_ptr<double>()[i] = std::strtod(extra.strings[i].c_str(), &end);  // reads INF and NaN too
    MC_CHECK(end != extra.strings[i].c_str() && *end == '\0', "'{}' is no number", extra.strings[i]);
  }
  return values.reshape(extra.string_dims);
}

struct CastTo {
  DType type;
  bool saturate;
  std::string round_mode;

  Slot operator()(const Slot& slot) const {
    const at::Tensor x = slot.extra && slot.extra->is_strings ? numbers_of(*slot.extra) : slot.tensor;
    if (type == DType::kString) return slot.extra && slot.extra->is_strings ? slot : strings_of(x);
    if (sub_byte(type)) return to_sub_byte(x, type);
    if (type == DType::kFloat8E8M0) return to_e8m0(x, round_mode, saturate);
    if (float8(type).largest > 0 && x.scalar_type() != to_scalar_type(type))
      return to_float8(x, type, saturate);
    return x.to(to_scalar_type(type));
  }
};

CastTo cast_to(const Node& node, DType type) {
  return {type, node.get_int("saturate", 1) != 0, node.get_string("round_mode", "up")};
}

DType target_type(const Node& node) {
  const int64_t number = node.get_int("to", 0);
  MC_CHECK(number > 0 && number < 1000 && dtype_known(static_cast<int32_t>(number)),
           "attribute 'to' is {}, which is no element type", number);
  return static_cast<DType>(number);
}

Kernel bind_cast(const BindContext& context) {
  return [cast = cast_to(context.node, target_type(context.node))](const KernelArgs& args) {
    args.out(0, cast(args.slot(0)));
  };
}

Kernel bind_cast_like(const BindContext& context) {
  return [cast = cast_to(context.node, DType::kUndefined)](const KernelArgs& args) {
    CastTo like = cast;
    like.type = args.slot(1).dtype();
    args.out(0, like(args.slot(0)));
  };
}

Kernel bind_bit_cast(const BindContext& context) {
  const DType to = target_type(context.node);
  MC_CHECK(dtype_bits(to) >= 8, "cannot reinterpret bits as {}", dtype_name(to));
  return [to](const KernelArgs& args) {
    const Slot& x = args.slot(0);
    MC_CHECK(dtype_bits(x.dtype()) == dtype_bits(to), "{} and {} are of different widths",
             dtype_name(x.dtype()), dtype_name(to));
    args.out(0, x.tensor.view(to_scalar_type(to)));
  };
}

void infer_bit_cast(InferContext& context) {
  infer_same_shape(context, target_type(context.node()));
}

void pass_shape_value(InferContext& context) {
  if (auto value = context.shape_value(0)) context.output_shape_value(0, *std::move(value));
}

void infer_cast(InferContext& context) {
  infer_same_shape(context, target_type(context.node()));
  pass_shape_value(context);
}

void infer_cast_like(InferContext& context) {
  infer_same_shape(context, input_dtype(context, 1));
  pass_shape_value(context);
}

Kernel bind_identity(const BindContext&) {
  return [](const KernelArgs& args) { args.out(0, args.slot(0)); };
}

void infer_identity(InferContext& context) {
  infer_same_as_input(context);
  pass_shape_value(context);
}

}  // namespace

std::vector<Op> cast_ops() {
  Op identity = make_op("Identity", 1, bind_identity, infer_identity);
  identity.passes_roles = true;
  identity.quant = QuantPart::kSameRange;
  Op cast = make_op("Cast", 6, bind_cast, infer_cast);
  cast.passes_roles = true;
  Op cast_like = make_op("CastLike", 15, bind_cast_like, infer_cast_like);
  cast_like.passes_roles = true;
  Op bit_cast = make_op("BitCast", 26, bind_bit_cast, infer_bit_cast);
  bit_cast.differentiable = false;
  return {identity, cast, cast_like, bit_cast};
}

}  // namespace mc
