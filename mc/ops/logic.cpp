// Comparisons, boolean arithmetic and Where.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using Binary = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

// Unsigned types that LibTorch cannot compare; float8 likewise.
at::Tensor comparable(const at::Tensor& x) {
  const auto type = x.scalar_type();
  return type == at::kUInt16 || type == at::kUInt32 || type == at::kUInt64 ? x.to(at::kLong) : x;
}

Op comparison(const char* name, int64_t since, Binary function) {
  auto bind = [function](const BindContext&) {
    return binary([function](const at::Tensor& a, const at::Tensor& b) {
      return function(comparable(a), comparable(b));
    });
  };
  Op op =
      make_op(name, since, bind, [](InferContext& context) { infer_broadcast_as(context, DType::kBool); });
  op.differentiable = false;
  return op;
}

bool equal_strings(const KernelArgs& args) {
  const auto& a = args.slot(0).extra;
  const auto& b = args.slot(1).extra;
  if (!a || !b || !a->is_strings || !b->is_strings) return false;
  const auto index = [](const Slot::Extra& extra) {
    return at::arange(static_cast<int64_t>(extra.strings.size()), at::kLong).reshape(extra.string_dims);
  };
  const auto positions = at::broadcast_tensors({index(*a), index(*b)});
  const std::vector<int64_t> left = tensor_ints(positions[0]);
  const std::vector<int64_t> right = tensor_ints(positions[1]);
  at::Tensor result = at::empty({static_cast<int64_t>(left.size())}, at::kBool);
  for (size_t i = 0; i < left.size(); ++i) {
    result.data_ptr<bool>()[i] = a->strings[left[i]] == b->strings[right[i]];
  }
  args.out(0, result.reshape(positions[0].sizes()));
  return true;
}

Kernel bind_equal(const BindContext&) {
  const Kernel numbers =
      binary([](const at::Tensor& a, const at::Tensor& b) { return at::eq(comparable(a), comparable(b)); });
  return [numbers](const KernelArgs& args) {
    if (!equal_strings(args)) numbers(args);
  };
}

// Exporters compare a shape with -1 to expand it: a symbolic dim is no negative number.
void infer_equal(InferContext& context) {
  infer_broadcast_as(context, DType::kBool);
  auto value = context.shape_value(0);
  const Tensor* constant = context.constant(1);
  if (!value || !constant) {
    value = context.shape_value(1);
    constant = context.constant(0);
  }
  if (!value || !constant || constant->count() == 0) return;
  const std::vector<double> numbers = constant->as_doubles();
  if (numbers.size() != value->size() && numbers.size() != 1) return;
  Shape result;
  for (size_t i = 0; i < value->size(); ++i) {
    const Dim& dim = (*value)[i];
    const double number = numbers[numbers.size() == 1 ? 0 : i];
    if (dim.known()) {
      result.emplace_back(dim.value == number ? 1 : 0);
    } else {
      result.push_back(number < 0 && !dim.symbol.empty() ? Dim(0) : Dim());
    }
  }
  context.output_shape_value(0, result);
}

Kernel bind_where(const BindContext&) {
  return [](const KernelArgs& args) {
    at::Tensor condition = args.in(0);
    at::Tensor a = args.in(1);
    at::Tensor b = args.in(2);
    for (const at::Tensor* data : {&args.in(1), &args.in(2), &args.in(0)}) {
      if (data->is_cpu()) continue;
      condition = on_device_of(condition, *data);
      a = on_device_of(a, *data);
      b = on_device_of(b, *data);
    }
    args.out(0, at::where(condition, a, b));
  };
}

void infer_where(InferContext& context) {
  infer_broadcast_as(context, input_dtype(context, 1));
  const auto condition = context.shape_value(0);
  const auto a = context.shape_value(1);
  const auto b = context.shape_value(2);
  if (!condition || !a || !b) return;
  const size_t count = std::max({condition->size(), a->size(), b->size()});
  const auto element = [count](const Shape& shape, size_t i) -> Dim {
    if (shape.size() == count) return shape[i];
    return shape.size() == 1 ? shape[0] : Dim();
  };
  Shape result;
  for (size_t i = 0; i < count; ++i) {
    const Dim chosen = element(*condition, i);
    const Dim x = element(*a, i);
    const Dim y = element(*b, i);
    if (chosen.known()) {
      result.push_back(chosen.value ? x : y);
    } else {
      result.push_back(x == y ? x : Dim());
    }
  }
  context.output_shape_value(0, result);
}

}  // namespace

std::vector<Op> logic_ops() {
  const auto comparison_of = [](auto function) { return Binary(function); };
  const Binary greater = comparison_of([](const at::Tensor& a, const at::Tensor& b) { return at::gt(a, b); });
  const Binary less = comparison_of([](const at::Tensor& a, const at::Tensor& b) { return at::lt(a, b); });
  Op equal = make_op("Equal", 7, bind_equal, infer_equal);
  equal.differentiable = false;
  Op negation =
      make_op("Not", 1, [](const BindContext&) { return unary(at::logical_not); }, infer_same_as_input);
  negation.differentiable = false;
  return {
      comparison("And", 7, at::logical_and),
      comparison("Or", 7, at::logical_or),
      comparison("Xor", 7, at::logical_xor),
      negation,
      equal,
      comparison("Greater", 7, greater),
      comparison("Less", 7, less),
      comparison("GreaterOrEqual", 12, [](const at::Tensor& a, const at::Tensor& b) { return at::ge(a, b); }),
      comparison("LessOrEqual", 12, [](const at::Tensor& a, const at::Tensor& b) { return at::le(a, b); }),
      make_op("Where", 9, bind_where, infer_where),
  };
}

}  // namespace mc
