// Reductions over axes, given as an attribute in older opsets and as an input in newer ones.
#include <limits>
#include <numeric>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using Reduction = at::Tensor (*)(const at::Tensor&, at::IntArrayRef axes, bool keep);

at::Tensor widened(const at::Tensor& x) {
  return x.is_floating_point() ? x : x.to(at::kDouble);
}

at::Tensor sum(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return at::sum(x, axes, keep, x.scalar_type());  // without the type, integers would become int64
}

at::Tensor mean(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return at::mean(widened(x), axes, keep).to(x.scalar_type());
}

at::Tensor product(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  at::Tensor result = x;
  for (int64_t axis : axes) result = at::prod(result, axis, true, x.scalar_type());
  return keep ? result : result.squeeze(axes);
}

// The reduction of nothing is the smallest (largest) number there is.
at::Tensor fill_empty(const at::Tensor& x, at::IntArrayRef axes, bool keep, bool maximum) {
  const at::Tensor zeros = at::sum(x, axes, keep, x.scalar_type());
  if (x.is_floating_point()) {
    const double infinity = std::numeric_limits<double>::infinity();
    return at::full_like(zeros, maximum ? -infinity : infinity);
  }
  if (x.scalar_type() == at::kBool) return at::full_like(zeros, !maximum);
  const int bits = static_cast<int>(8 * x.element_size()) - (x.scalar_type() == at::kByte ? 0 : 1);
  const int64_t highest = static_cast<int64_t>((uint64_t{1} << bits) - 1);
  const int64_t lowest = x.scalar_type() == at::kByte ? 0 : -highest - 1;
  return at::full_like(zeros, maximum ? lowest : highest);
}

at::Tensor maximum(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return x.numel() == 0 ? fill_empty(x, axes, keep, true) : at::amax(x, axes, keep);
}

at::Tensor minimum(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return x.numel() == 0 ? fill_empty(x, axes, keep, false) : at::amin(x, axes, keep);
}

at::Tensor l1(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return sum(x.abs(), axes, keep);
}

at::Tensor l2(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return at::linalg_vector_norm(widened(x), 2, axes, keep).to(x.scalar_type());
}

at::Tensor log_sum(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return sum(widened(x), axes, keep).log().to(x.scalar_type());
}

at::Tensor log_sum_exp(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return at::logsumexp(widened(x), axes, keep).to(x.scalar_type());
}

at::Tensor sum_square(const at::Tensor& x, at::IntArrayRef axes, bool keep) {
  return sum(x * x, axes, keep);
}

// The axes to reduce: all when none are given, unless noop_with_empty_axes.
std::vector<int64_t> reduced_axes(const std::optional<std::vector<int64_t>>& given, int64_t rank, bool noop) {
  std::vector<int64_t> axes;
  if (given) axes = *given;
  for (int64_t& axis : axes) axis = normalize_axis(axis, rank);
  if (axes.empty() && !noop) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), 0);
  }
  return axes;
}

// With noop_with_empty_axes nothing is summed, yet each element is still squared, or its logarithm taken.
at::Tensor reduce_nothing(Reduction function, const at::Tensor& x) {
  return function(x.unsqueeze(-1), {-1}, false);
}

std::function<Kernel(const BindContext&)> bind_reduce(Reduction function) {
  return [function](const BindContext& context) -> Kernel {
    const bool keep = context.node.get_int("keepdims", 1) != 0;
    const bool noop = context.node.get_int("noop_with_empty_axes", 0) != 0;
    return [function, keep, noop, given = IntsInput(context, 1, "axes")](const KernelArgs& args) {
      const at::Tensor& x = args.in(0);
      const auto axes = reduced_axes(given.get(args), x.dim(), noop);
      args.out(0, axes.empty() ? reduce_nothing(function, x) : function(x, axes, keep));
    };
  };
}

void infer_reduce(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const IntsArgument given = ints_argument(context, 1, "axes");
  const bool keep = context.node().get_int("keepdims", 1) != 0;
  const bool noop = context.node().get_int("noop_with_empty_axes", 0) != 0;
  std::optional<Shape> result;
  if (shape && given.present == given.values.has_value()) {
    const auto rank = static_cast<int64_t>(shape->size());
    std::vector<bool> reduced(rank);
    for (int64_t axis : reduced_axes(given.values, rank, noop)) reduced[axis] = true;
    result.emplace();
    for (int64_t i = 0; i < rank; ++i) {
      if (!reduced[i]) result->push_back((*shape)[i]);
      if (reduced[i] && keep) result->emplace_back(1);
    }
  } else if (shape && keep) {
    result = Shape(shape->size());
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

Op reduce_op(const char* name, Reduction function, QuantPart quant = QuantPart::kNone) {
  Op op = make_op(name, 1, bind_reduce(function), infer_reduce);
  op.quant = quant;
  return op;
}

}  // namespace

std::vector<Op> reduce_ops() {
  return {
      reduce_op("ReduceSum", sum),
      reduce_op("ReduceMean", mean, QuantPart::kPool),
      reduce_op("ReduceProd", product),
      reduce_op("ReduceMax", maximum, QuantPart::kSameRange),
      reduce_op("ReduceMin", minimum, QuantPart::kSameRange),
      reduce_op("ReduceL1", l1),
      reduce_op("ReduceL2", l2),
      reduce_op("ReduceLogSum", log_sum),
      reduce_op("ReduceLogSumExp", log_sum_exp),
      reduce_op("ReduceSumSquare", sum_square),
  };
}

}  // namespace mc
