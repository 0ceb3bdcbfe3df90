// Tensors out of attributes and numbers: Constant, ConstantOfShape, Range, EyeLike, OneHot; and NonZero.
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

constexpr int64_t kMostDims = 64;       // of any tensor
constexpr double kMostNumbers = 1e15;   // of a range; far more than fit anywhere
constexpr double kMostDense = 1 << 26;  // elements of a sparse constant: its file pays for few of them

// The dense form of a sparse constant: indices are positions in the flattened tensor or tuples.
Tensor densify(const Attribute::Sparse& sparse) {
  MC_CHECK(element_count(to_shape(sparse.dims)) <= kMostDense,
           "a sparse constant of [{}] is too large to be dense", fmt::join(sparse.dims, ","));
  std::vector<int64_t> index = sparse.indices.as_ints();
  const at::Tensor values = to_aten(sparse.values, true);
  const int64_t count = values.numel();
  if (sparse.indices.dims.size() == 2) {
    const auto rank = static_cast<int64_t>(sparse.dims.size());
    MC_CHECK(sparse.indices.dims[1] == rank && static_cast<int64_t>(index.size()) == count * rank,
             "a sparse constant's indices do not fit its values");
    std::vector<int64_t> flat(count);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t d = 0; d < rank; ++d) {
        const int64_t at = index[i * rank + d];
        MC_CHECK(at >= 0 && at < sparse.dims[d], "a sparse constant's index {} is outside of axis {}", at, d);
        flat[i] = flat[i] * sparse.dims[d] + at;
      }
    }
    index = flat;
  }
  MC_CHECK(static_cast<int64_t>(index.size()) == count, "a sparse constant has {} indices for {} values",
           index.size(), count);
  at::Tensor dense = at::zeros(sparse.dims, values.options());
  for (int64_t i : index) MC_CHECK(i >= 0 && i < dense.numel(), "a sparse constant's index {} is outside", i);
  if (count > 0) dense.view({-1}).index_put_({at::tensor(index, at::kLong)}, values.flatten());
  return to_constant(dense);
}

// The value of a Constant node, whichever attribute holds it.
Tensor constant_value(const Node& node) {
  if (const Tensor* value = node.get_tensor("value")) return *value;
  if (node.find("value_float")) return Tensor::scalar(node.get_float("value_float", 0));
  if (node.find("value_int")) {
    const int64_t value = node.get_int("value_int", 0);
    return Tensor::int64s({}, std::span(&value, 1));
  }
  if (node.find("value_floats")) {
    const auto values = node.get_floats("value_floats");
    return Tensor::floats({static_cast<int64_t>(values.size())}, values);
  }
  if (node.find("value_ints")) {
    const auto values = node.get_ints("value_ints");
    return Tensor::int64s({static_cast<int64_t>(values.size())}, values);
  }
  Tensor text;
  text.dtype = DType::kString;
  if (node.find("value_string")) {
    text.strings = {node.get_string("value_string", "")};
    return text;
  }
  if (const Attribute* strings = node.find("value_strings")) {
    if (auto list = std::get_if<std::vector<std::string>>(&strings->value)) text.strings = *list;
    text.dims = {static_cast<int64_t>(text.strings.size())};
    return text;
  }
  if (const Attribute* sparse = node.find("sparse_value")) {
    if (auto value = std::get_if<Attribute::Sparse>(&sparse->value)) return densify(*value);
  }
  fail("a Constant needs one of value, value_float(s), value_int(s), value_string(s), sparse_value");
}

Kernel bind_constant(const BindContext& context) {
  return [slot = to_slot(constant_value(context.node))](const KernelArgs& args) { args.out(0, slot); };
}

void infer_constant(InferContext& context) {
  const Tensor value = constant_value(context.node());
  context.output(0, Type::tensor(value.dtype, to_shape(value.dims)));
}

Tensor fill_value(const Node& node) {
  const Tensor* value = node.get_tensor("value");
  MC_CHECK(!value || value->count() == 1, "attribute 'value' holds {} elements where one is needed",
           value ? value->count() : 0);
  return value ? *value : Tensor::scalar(0);
}

Kernel bind_constant_of_shape(const BindContext& context) {
  const at::Tensor value = to_aten(fill_value(context.node), true).reshape({});
  return [value, shape = IntsInput(context, 0)](const KernelArgs& args) {
    const auto dims = shape.required(args);
    for (int64_t dim : dims) MC_CHECK(dim >= 0, "shape [{}] has a negative dim", fmt::join(dims, ","));
    args.out(0, value.expand(dims).contiguous());
  };
}

void infer_constant_of_shape(InferContext& context) {
  std::optional<Shape> result = context.shape_value(0);
  const Shape* length = input_shape(context, 0);
  if (!result && length && length->size() == 1 && (*length)[0].known() && (*length)[0].value <= kMostDims)
    result = Shape(static_cast<size_t>((*length)[0].value));
  context.output(0, Type::tensor(fill_value(context.node()).dtype, result));
}

Kernel bind_range(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor start = args.in(0).cpu();
    const at::Tensor limit = args.in(1).cpu();
    const at::Tensor step = args.in(2).cpu();
    MC_CHECK(start.numel() == 1 && limit.numel() == 1 && step.numel() == 1 && step.item<double>() != 0,
             "start, limit and delta must be one number each, delta not 0");
    const double length = (limit.item<double>() - start.item<double>()) / step.item<double>();
    MC_CHECK(length < kMostNumbers, "{} to {} by {} is no range that ends", start.item<double>(),
             limit.item<double>(), step.item<double>());
    const auto count = static_cast<int64_t>(std::max(std::ceil(length), 0.0));
    const at::Tensor steps = at::arange(count, at::kLong).to(start.scalar_type());
    args.out(0, start.reshape({}) + steps * step.reshape({}));
  };
}

void infer_range(InferContext& context) {
  Dim count;
  const Tensor* start = context.constant(0);
  const Tensor* limit = context.constant(1);
  const Tensor* step = context.constant(2);
  if (start && limit && step && start->count() == 1 && limit->count() == 1 && step->count() == 1) {
    const double delta = step->as_doubles()[0];
    MC_CHECK(delta != 0, "delta is 0");
    const double numbers = std::ceil((limit->as_doubles()[0] - start->as_doubles()[0]) / delta);
    if (numbers < kMostNumbers) count = Dim(static_cast<int64_t>(std::max(numbers, 0.0)));
  } else if (start && step && start->count() == 1 && step->count() == 1 && start->as_doubles()[0] == 0 &&
             step->as_doubles()[0] == 1) {
    const auto symbolic = context.shape_value(1);  // range(0, batch)
    if (symbolic && symbolic->size() == 1) count = (*symbolic)[0];
  }
  context.output(0, Type::tensor(input_dtype(context, 0), Shape{count}));
}

DType eye_type(const Node& node, DType input) {
  return static_cast<DType>(node.get_int("dtype", static_cast<int64_t>(input)));
}

Kernel bind_eye_like(const BindContext& context) {
  const int64_t k = context.node.get_int("k", 0);
  return [k, node = context.node](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() == 2, "input has {} dims where a matrix is needed", x.dim());
    const at::Tensor ones = at::ones(x.sizes(), x.options().dtype(at::kFloat));
    args.out(0, ones.triu(k).tril(k).to(to_scalar_type(eye_type(node, args.slot(0).dtype()))));
  };
}

void infer_eye_like(InferContext& context) {
  infer_same_shape(context, eye_type(context.node(), input_dtype(context, 0)));
}

Kernel bind_one_hot(const BindContext& context) {
  return [given = context.node.get_int("axis", -1), depth = IntsInput(context, 1)](const KernelArgs& args) {
    const at::Tensor& indices = args.in(0);
    const auto sizes = depth.required(args);
    MC_CHECK(sizes.size() == 1 && args.in(2).numel() == 2, "depth must be one number and values two");
    const int64_t axis = normalize_axis(given, indices.dim() + 1);
    const at::Tensor index = wrap_indices(indices, sizes[0]).unsqueeze(axis);
    std::vector<int64_t> along(indices.dim() + 1, 1);
    along[axis] = sizes[0];
    const at::Tensor hot = index == at::arange(sizes[0], index.options()).reshape(along);
    const at::Tensor values = on_device_of(args.in(2), indices);
    args.out(0, at::where(hot, values[1], values[0]));
  };
}

void infer_one_hot(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (shape) {
    result = *shape;
    const int64_t axis =
        normalize_axis(context.node().get_int("axis", -1), static_cast<int64_t>(shape->size()) + 1);
    const IntsArgument depth = ints_argument(context, 1);
    result->insert(result->begin() + axis,
                   depth.values && depth.values->size() == 1 ? Dim((*depth.values)[0]) : Dim());
  }
  context.output(0, Type::tensor(input_dtype(context, 2), result));
}

Kernel bind_non_zero(const BindContext&) {
  return unary([](const at::Tensor& x) { return at::nonzero(x).t(); });
}

void infer_non_zero(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const Dim rank = shape ? Dim(static_cast<int64_t>(shape->size())) : Dim();
  context.output(0, Type::tensor(DType::kInt64, Shape{rank, Dim()}));
}

}  // namespace

std::vector<Op> constant_ops() {
  std::vector<Op> ops = {
      make_op("Constant", 1, bind_constant, infer_constant),
      make_op("ConstantOfShape", 9, bind_constant_of_shape, infer_constant_of_shape),
      make_op("Range", 11, bind_range, infer_range),
      make_op("EyeLike", 9, bind_eye_like, infer_eye_like),
      make_op("OneHot", 9, bind_one_hot, infer_one_hot),
      make_op("NonZero", 9, bind_non_zero, infer_non_zero),
  };
  for (Op& op : ops) op.differentiable = false;
  return ops;
}

}  // namespace mc
