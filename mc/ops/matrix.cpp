// Matrices and sets: Det, Unique.
#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

Kernel bind_det(const BindContext&) {
  return unary([](const at::Tensor& x) {
    MC_CHECK(x.dim() >= 2 && x.size(-1) == x.size(-2), "the input [{}] holds no square matrices",
             fmt::join(x.sizes(), ","));
    const bool narrow = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
    return at::linalg_det(narrow ? x.to(at::kFloat) : x).to(x.scalar_type());
  });
}

void infer_det(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  std::optional<Shape> y;
  if (x) {
    MC_CHECK(x->size() >= 2, "the input has {} dims; 2 are needed", x->size());
    merge_dims((*x)[x->size() - 1], (*x)[x->size() - 2]);
    y = Shape(x->begin(), x->end() - 2);
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

struct UniqueAttributes {
  bool sorted;
  std::optional<int64_t> axis;
};

UniqueAttributes unique_attributes(const Node& node) {
  const std::optional<int64_t> axis =
      node.find("axis") ? std::optional(node.get_int("axis", 0)) : std::nullopt;
  return {node.get_int("sorted", 1) != 0, axis};
}

// What the outputs say of the elements (or slices) of the input.
struct UniqueParts {
  at::Tensor first;    // where each unique one is first met
  at::Tensor inverse;  // which unique one each is
  at::Tensor count;
};

// The unique ones come sorted from ATen, or in the order in which they are first met.
UniqueParts unique_parts(const at::Tensor& inverse, const at::Tensor& count, bool sorted) {
  const int64_t unique = count.size(0);
  const at::Tensor place = at::arange(inverse.size(0), inverse.options());
  const at::Tensor first =
      at::full({unique}, inverse.size(0), inverse.options()).scatter_reduce(0, inverse, place, "amin");
  if (sorted) return {first, inverse, count};
  const at::Tensor order = first.argsort();
  const at::Tensor rank = at::empty_like(order).scatter(0, order, at::arange(unique, order.options()));
  return {first.index_select(0, order), rank.index_select(0, inverse), count.index_select(0, order)};
}

UniqueParts find_unique(const at::Tensor& x, const std::optional<int64_t>& axis, bool sorted) {
  at::Tensor values, inverse, count;
  if (axis) {
    for (int64_t i = 0; i < x.dim(); ++i)
      MC_CHECK(i == *axis || x.size(i) > 0, "slices along axis {} are empty", *axis);
    std::tie(values, inverse, count) =
        at::unique_dim(x, *axis, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
  } else {
    std::tie(values, inverse, count) =
        at::_unique2(x.flatten(), /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
  }
  return unique_parts(inverse.flatten(), count, sorted);
}

// Strings as their ranks in alphabetical order, so that equal ones are equal numbers.
at::Tensor string_ranks(const Slot::Extra& extra) {
  std::vector<size_t> order(extra.strings.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return extra.strings[a] < extra.strings[b]; });
  std::vector<int64_t> ranks(order.size());
  for (size_t i = 1; i < order.size(); ++i)
    ranks[order[i]] = ranks[order[i - 1]] + (extra.strings[order[i]] != extra.strings[order[i - 1]]);
  return at::tensor(ranks, at::kLong).reshape(extra.string_dims);
}

Slot select_strings(const Slot::Extra& extra, const at::Tensor& places) {
  auto chosen = std::make_shared<Slot::Extra>();
  chosen->is_strings = true;
  chosen->string_dims = places.sizes().vec();
  for (int64_t place : tensor_ints(places)) chosen->strings.push_back(extra.strings[place]);
  Slot slot;
  slot.extra = std::move(chosen);
  return slot;
}

Kernel bind_unique(const BindContext& context) {
  return [attributes = unique_attributes(context.node)](const KernelArgs& args) {
    const Slot& slot = args.slot(0);
    const bool strings = slot.extra && slot.extra->is_strings;
    const at::Tensor x = strings ? string_ranks(*slot.extra) : slot.tensor;
    MC_CHECK(!x.is_complex() && !at::isFloat8Type(x.scalar_type()), "elements of type {} are not supported",
             dtype_name(slot.dtype()));
    std::optional<int64_t> axis = attributes.axis;
    if (axis) axis = normalize_axis(*axis, x.dim());
    const UniqueParts parts = find_unique(x.detach(), axis, attributes.sorted);
    c10::List<std::optional<at::Tensor>> places;  // at::index knows more types than index_select
    places.resize(axis.value_or(0));
    places.push_back(parts.first);
    const auto select = [&](const at::Tensor& data) {
      return at::index(axis ? data : data.flatten(), places);
    };
    if (strings) {
      args.out(0, select_strings(*slot.extra, select(at::arange(x.numel()).reshape(x.sizes()))));
    } else {
      Slot unique = select(x);
      unique.extra = slot.extra;
      args.out(0, unique);
    }
    args.out(1, parts.first);
    args.out(2, parts.inverse);
    args.out(3, parts.count);
  };
}

void infer_unique(InferContext& context) {
  const UniqueAttributes attributes = unique_attributes(context.node());
  const Shape* x = input_shape(context, 0);
  std::optional<Shape> y;
  Dim elements;
  if (!attributes.axis) {
    y = Shape(1);
    if (const auto dims = x ? known_dims(*x) : std::nullopt) {
      elements = Dim(1);
      for (int64_t dim : *dims) elements = multiply_dims(elements, Dim(dim));
    }
  } else if (x) {
    const int64_t axis = normalize_axis(*attributes.axis, static_cast<int64_t>(x->size()));
    y = *x;
    elements = (*x)[axis];
    (*y)[axis] = Dim();
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
  context.output(1, Type::tensor(DType::kInt64, Shape(1)));
  context.output(2, Type::tensor(DType::kInt64, Shape{elements}));
  context.output(3, Type::tensor(DType::kInt64, Shape(1)));
}

}  // namespace

std::vector<Op> matrix_ops() {
  Op unique = make_op("Unique", 11, bind_unique, infer_unique);
  unique.differentiable = false;
  return {make_op("Det", 11, bind_det, infer_det), unique};
}

}  // namespace mc
