// What depends on the order of elements along an axis: ArgMax, ArgMin, TopK, cumulative sums and products.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

std::function<Kernel(const BindContext&)> bind_arg(bool maximum) {
  return [maximum](const BindContext& context) -> Kernel {
    const bool keep = context.node.get_int("keepdims", 1) != 0;
    const bool last = context.node.get_int("select_last_index", 0) != 0;
    return [maximum, keep, last, given = context.node.get_int("axis", 0)](const KernelArgs& args) {
      const at::Tensor& x = args.in(0);
      const int64_t axis = normalize_axis(given, x.dim());
      const at::Tensor seen = last ? x.flip(axis) : x;
      const at::Tensor found = maximum ? at::argmax(seen, axis, keep) : at::argmin(seen, axis, keep);
      args.out(0, last ? x.size(axis) - 1 - found : found);
    };
  };
}

void infer_arg(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (shape) {
    const int64_t axis =
        normalize_axis(context.node().get_int("axis", 0), static_cast<int64_t>(shape->size()));
    result = *shape;
    (*result)[axis] = Dim(1);
    if (context.node().get_int("keepdims", 1) == 0) result->erase(result->begin() + axis);
  }
  context.output(0, Type::tensor(DType::kInt64, result));
}

int64_t top_count(const std::vector<int64_t>& values) {
  MC_CHECK(values.size() == 1 && values[0] >= 0, "k must be one number, at least 0");
  return values[0];
}

Kernel bind_top_k(const BindContext& context) {
  const bool largest = context.node.get_int("largest", 1) != 0;
  const Attribute* attribute = context.node.find("k");
  const std::optional<int64_t> fixed = attribute ? std::optional(context.node.get_int("k", 0)) : std::nullopt;
  return [largest, fixed, given = context.node.get_int("axis", -1),
          count = IntsInput(context, 1)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const int64_t axis = normalize_axis(given, x.dim());
    const int64_t k = fixed ? *fixed : top_count(count.required(args));
    MC_CHECK(k <= x.size(axis), "k is {}, but axis {} has {} elements", k, axis, x.size(axis));
    // A stable sort, because of equal elements the one with the lower index comes first.
    const auto [values, indices] = at::sort(x, /*stable=*/true, axis, largest);
    args.out(0, values.narrow(axis, 0, k));
    args.out(1, indices.narrow(axis, 0, k));
  };
}

void infer_top_k(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (shape) {
    const int64_t axis =
        normalize_axis(context.node().get_int("axis", -1), static_cast<int64_t>(shape->size()));
    result = *shape;
    (*result)[axis] = Dim();
    if (context.node().find("k")) {
      (*result)[axis] = Dim(context.node().get_int("k", 0));
    } else if (const Tensor* k = context.constant(1)) {
      (*result)[axis] = Dim(top_count(k->as_ints()));
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
  context.output(1, Type::tensor(DType::kInt64, result));
}

std::function<Kernel(const BindContext&)> bind_cumulative(bool product) {
  return [product](const BindContext& context) -> Kernel {
    const bool exclusive = context.node.get_int("exclusive", 0) != 0;
    const bool reverse = context.node.get_int("reverse", 0) != 0;
    return [product, exclusive, reverse, given = IntsInput(context, 1)](const KernelArgs& args) {
      at::Tensor x = args.in(0);
      const auto axes = given.required(args);
      MC_CHECK(axes.size() == 1, "axis must be one number");
      const int64_t axis = normalize_axis(axes[0], x.dim());
      if (reverse) x = x.flip(axis);
      if (exclusive && x.size(axis) > 0) {
        const at::Tensor first = x.narrow(axis, 0, 1);
        const at::Tensor neutral = product ? at::ones_like(first) : at::zeros_like(first);
        x = at::cat({neutral, x.narrow(axis, 0, x.size(axis) - 1)}, axis);
      }
      const auto type = args.in(0).scalar_type();
      const at::Tensor y = product ? at::cumprod(x, axis, type) : at::cumsum(x, axis, type);
      args.out(0, reverse ? y.flip(axis) : y);
    };
  };
}

}  // namespace

std::vector<Op> order_ops() {
  Op arg_max = make_op("ArgMax", 1, bind_arg(true), infer_arg);
  Op arg_min = make_op("ArgMin", 1, bind_arg(false), infer_arg);
  arg_max.differentiable = false;
  arg_min.differentiable = false;
  return {
      arg_max,
      arg_min,
      make_op("TopK", 1, bind_top_k, infer_top_k),
      make_op("CumSum", 11, bind_cumulative(false), infer_same_as_input),
      make_op("CumProd", 26, bind_cumulative(true), infer_same_as_input),
  };
}

}  // namespace mc
