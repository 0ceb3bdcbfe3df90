// Shapes as values, and views with another shape: no element moves.
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

std::vector<int64_t> dims_of(const Slot& slot) {
  return slot.extra && slot.extra->is_strings ? slot.extra->string_dims : slot.tensor.sizes().vec();
}

// Start and end of Shape's slice of the dims, clamped as numpy does.
std::pair<int64_t, int64_t> shape_range(const Node& node, int64_t rank) {
  const auto bound = [rank](int64_t value) {
    return std::clamp(value < 0 ? value + rank : value, int64_t{0}, rank);
  };
  const int64_t start = bound(node.get_int("start", 0));
  return {start, std::max(start, bound(node.get_int("end", rank)))};
}

Kernel bind_shape(const BindContext& context) {
  return [node = context.node](const KernelArgs& args) {
    const std::vector<int64_t> dims = dims_of(args.slot(0));
    const auto [start, end] = shape_range(node, static_cast<int64_t>(dims.size()));
    const std::vector<int64_t> part(dims.begin() + start, dims.begin() + end);
    args.out(0, at::tensor(part, at::kLong));  // on the CPU, whatever the data is on
  };
}

void infer_shape_op(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  if (!shape) return context.output(0, Type::tensor(DType::kInt64, Shape(1)));
  const auto [start, end] = shape_range(context.node(), static_cast<int64_t>(shape->size()));
  context.output(0, Type::tensor(DType::kInt64, Shape{Dim(end - start)}));
  context.output_shape_value(0, Shape(shape->begin() + start, shape->begin() + end));
}

Kernel bind_size(const BindContext&) {
  return [](const KernelArgs& args) {
    const std::vector<int64_t> dims = dims_of(args.slot(0));
    const int64_t count = std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
    args.out(0, at::scalar_tensor(count, at::kLong));
  };
}

void infer_size(InferContext& context) {
  context.output(0, Type::tensor(DType::kInt64, Shape()));
  const Shape* shape = input_shape(context, 0);
  if (!shape) return;
  Dim count(1);
  for (const Dim& dim : *shape) count = multiply_dims(count, dim);
  context.output_shape_value(0, {count});
}

// The dims that a Reshape asks for: 0 copies the input's dim, -1 is what remains.
std::vector<int64_t> reshaped(at::IntArrayRef from, std::vector<int64_t> to, bool allow_zero) {
  int64_t known = 1;
  int64_t rest = -1;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] == 0 && !allow_zero) {
      MC_CHECK(i < from.size(), "shape {} copies dim {} of an input with {} dims", fmt::join(to, ","), i,
               from.size());
      to[i] = from[i];
    }
    if (to[i] == -1) {
      MC_CHECK(rest < 0, "shape [{}] has more than one -1", fmt::join(to, ","));
      rest = static_cast<int64_t>(i);
    } else {
      MC_CHECK(to[i] >= 0, "shape [{}] has a negative dim", fmt::join(to, ","));
      known *= to[i];
    }
  }
  const int64_t count = c10::multiply_integers(from);
  if (rest >= 0 && known > 0) to[rest] = count / known;
  if (rest >= 0 && known == 0) to[rest] = 0;
  MC_CHECK(std::accumulate(to.begin(), to.end(), int64_t{1}, std::multiplies<>()) == count,
           "cannot reshape [{}] into [{}]", fmt::join(from, ","), fmt::join(to, ","));
  return to;
}

Kernel bind_reshape(const BindContext& context) {
  return [shape = IntsInput(context, 1, "shape"),
          allow_zero = context.node.get_int("allowzero", 0) != 0](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    args.out(0, x.reshape(reshaped(x.sizes(), shape.required(args), allow_zero)));
  };
}

// The one unknown dim of `to` from the number of elements, where all else is known; symbols that both
// shapes share cancel.
void solve_rest(const Shape& from, Shape& to) {
  Dim* rest = nullptr;
  for (Dim& dim : to) {
    if (dim.known() || !dim.symbol.empty()) continue;
    if (rest) return;
    rest = &dim;
  }
  if (!rest) return;
  std::vector<std::string> symbols;
  int64_t count = 1;
  for (const Dim& dim : from) {
    if (dim.known()) {
      count *= dim.value;
    } else if (!dim.symbol.empty()) {
      symbols.push_back(dim.symbol);
    } else {
      return;
    }
  }
  int64_t known = 1;
  for (const Dim& dim : to) {
    if (dim.known()) {
      known *= dim.value;
    } else if (!dim.symbol.empty()) {
      const auto found = std::find(symbols.begin(), symbols.end(), dim.symbol);
      if (found == symbols.end()) return;
      symbols.erase(found);
    }
  }
  if (known <= 0 || count % known != 0) return;
  if (symbols.empty()) {
    *rest = Dim(count / known);
  } else if (symbols.size() == 1 && count == known) {
    *rest = Dim(symbols[0]);
  }
}

void infer_reshape(InferContext& context) {
  const Shape* from = input_shape(context, 0);
  const DType dtype = input_dtype(context, 0);
  const bool allow_zero = context.node().get_int("allowzero", 0) != 0;
  std::optional<Shape> to;
  const IntsArgument argument = ints_argument(context, 1, "shape");
  if (argument.values) {
    to.emplace();
    for (size_t i = 0; i < argument.values->size(); ++i) {
      const int64_t value = (*argument.values)[i];
      if (value == 0 && !allow_zero) {
        MC_CHECK(!from || i < from->size(), "shape [{}] copies dim {} of {}",
                 fmt::join(*argument.values, ","), i, from ? to_string(*from) : "");
        to->push_back(from ? (*from)[i] : Dim());
      } else {
        to->push_back(value >= 0 ? Dim(value) : Dim());
      }
    }
  } else {
    to = context.shape_value(1);
    const Shape* length = input_shape(context, 1);
    if (!to && length && length->size() == 1 && (*length)[0].known() && (*length)[0].value <= 64)
      to = Shape(static_cast<size_t>((*length)[0].value));
    if (!allow_zero && to && from) {
      for (size_t i = 0; i < to->size() && i < from->size(); ++i) {
        if ((*to)[i].value == 0) (*to)[i] = (*from)[i];
      }
    }
  }
  if (from && to) {
    // -1 beside a dim that was copied without being known still stands for what remains.
    solve_rest(*from, *to);
    const auto before = known_dims(*from);
    const auto after = known_dims(*to);
    MC_CHECK(!before || !after || element_count(*from) == element_count(*to), "cannot reshape {} into {}",
             to_string(*from), to_string(*to));
  }
  context.output(0, Type::tensor(dtype, to));
  if (auto value = context.shape_value(0)) context.output_shape_value(0, *std::move(value));
}

int64_t flatten_axis(const Node& node, int64_t rank) {
  const int64_t axis = node.get_int("axis", 1);
  MC_CHECK(axis >= -rank && axis <= rank, "axis {} is outside of a tensor with {} dims", axis, rank);
  return axis < 0 ? axis + rank : axis;
}

Kernel bind_flatten(const BindContext& context) {
  return [node = context.node](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const int64_t axis = flatten_axis(node, x.dim());
    const int64_t rows = c10::multiply_integers(x.sizes().slice(0, axis));
    args.out(0, x.reshape({rows, c10::multiply_integers(x.sizes().slice(axis))}));
  };
}

void infer_flatten(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  Shape result(2);
  if (shape) {
    const int64_t axis = flatten_axis(context.node(), static_cast<int64_t>(shape->size()));
    result = {Dim(1), Dim(1)};
    for (size_t i = 0; i < shape->size(); ++i) {
      Dim& side = result[static_cast<int64_t>(i) < axis ? 0 : 1];
      side = multiply_dims(side, (*shape)[i]);
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

Kernel bind_squeeze(const BindContext& context) {
  return [axes = IntsInput(context, 1, "axes")](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const auto chosen = axes.get(args);
    if (!chosen) return args.out(0, x.squeeze());
    for (int64_t axis : *chosen) {
      MC_CHECK(x.size(normalize_axis(axis, x.dim())) == 1, "cannot squeeze axis {}, which has {} elements",
               axis, x.size(axis));
    }
    args.out(0, x.squeeze(*chosen));
  };
}

void infer_squeeze(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const IntsArgument axes = ints_argument(context, 1, "axes");
  std::optional<Shape> result;
  if (shape && axes.values) {
    std::vector<bool> dropped(shape->size());
    for (int64_t axis : *axes.values) {
      const int64_t at = normalize_axis(axis, static_cast<int64_t>(shape->size()));
      MC_CHECK(!(*shape)[at].known() || (*shape)[at].value == 1, "cannot squeeze axis {} of {}", axis,
               to_string(*shape));
      dropped[at] = true;
    }
    result.emplace();
    for (size_t i = 0; i < shape->size(); ++i) {
      if (!dropped[i]) result->push_back((*shape)[i]);
    }
  } else if (shape && !axes.present && all_known(*shape)) {
    result.emplace();
    std::copy_if(shape->begin(), shape->end(), std::back_inserter(*result),
                 [](const Dim& dim) { return dim.value != 1; });
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
  if (auto value = context.shape_value(0)) context.output_shape_value(0, *std::move(value));
}

// The axes of the result at which dims of 1 stand, sorted.
std::vector<int64_t> sorted_axes(std::vector<int64_t> axes, int64_t rank) {
  for (int64_t& axis : axes) axis = normalize_axis(axis, rank);
  std::sort(axes.begin(), axes.end());
  MC_CHECK(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "axes [{}] repeat one",
           fmt::join(axes, ","));
  return axes;
}

Kernel bind_unsqueeze(const BindContext& context) {
  return [axes = IntsInput(context, 1, "axes")](const KernelArgs& args) {
    at::Tensor x = args.in(0);
    std::vector<int64_t> wanted = axes.required(args);
    const int64_t rank = x.dim() + static_cast<int64_t>(wanted.size());
    for (int64_t axis : sorted_axes(std::move(wanted), rank)) x = x.unsqueeze(axis);
    args.out(0, x);
  };
}

void infer_unsqueeze(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const IntsArgument axes = ints_argument(context, 1, "axes");
  std::optional<Shape> result;
  if (shape && axes.values) {
    result = *shape;
    const int64_t rank = static_cast<int64_t>(shape->size() + axes.values->size());
    for (int64_t axis : sorted_axes(*axes.values, rank)) result->insert(result->begin() + axis, Dim(1));
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
  if (auto value = context.shape_value(0)) context.output_shape_value(0, *std::move(value));
}

Kernel bind_expand(const BindContext& context) {
  return [shape = IntsInput(context, 1)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    args.out(0, x.expand(at::infer_size(x.sizes(), shape.required(args))));
  };
}

void infer_expand(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const auto to = context.shape_value(1);
  std::optional<Shape> result;
  if (shape && to) result = broadcast_shapes(*shape, *to);
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

Op view(Op op) {
  op.passes_roles = true;
  op.quant = QuantPart::kSameRange;
  return op;
}

}  // namespace

std::vector<Op> shape_ops() {
  Op shape = make_op("Shape", 1, bind_shape, infer_shape_op);
  shape.differentiable = false;
  Op size = make_op("Size", 1, bind_size, infer_size);
  size.differentiable = false;
  Op expand = make_op("Expand", 8, bind_expand, infer_expand);
  expand.quant = QuantPart::kSameRange;
  return {
      shape,
      size,
      view(make_op("Reshape", 5, bind_reshape, infer_reshape)),
      view(make_op("Flatten", 1, bind_flatten, infer_flatten)),
      view(make_op("Squeeze", 1, bind_squeeze, infer_squeeze)),
      view(make_op("Unsqueeze", 1, bind_unsqueeze, infer_unsqueeze)),
      expand,
  };
}

}  // namespace mc
