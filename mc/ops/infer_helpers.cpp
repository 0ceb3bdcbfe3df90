#include "mc/ops/infer_helpers.h"

#include <algorithm>

#include "mc/base/error.h"

namespace mc {

const Shape* input_shape(const InferContext& context, size_t i) {
  const Type* type = context.input(i);
  return type && type->is_tensor() && type->shape ? &*type->shape : nullptr;
}

DType input_dtype(const InferContext& context, size_t i) {
  const Type* type = context.input(i);
  return type && type->is_tensor() ? type->dtype : DType::kUndefined;
}

bool all_known(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.known(); });
}

std::optional<std::vector<int64_t>> known_dims(const Shape& shape) {
  std::vector<int64_t> dims;
  for (const Dim& dim : shape) {
    if (!dim.known()) return std::nullopt;
    dims.push_back(dim.value);
  }
  return dims;
}

Shape to_shape(std::span<const int64_t> dims) {
  return Shape(dims.begin(), dims.end());
}

double element_count(const Shape& shape) {
  double count = 1;
  for (const Dim& dim : shape) count *= dim.known() ? static_cast<double>(dim.value) : 1.0;
  return count;
}

int64_t normalize_axis(int64_t axis, int64_t rank) {
  MC_CHECK(axis >= -rank && axis < rank, "axis {} is outside of a tensor with {} dims", axis, rank);
  return axis < 0 ? axis + rank : axis;
}

Dim merge_dims(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) {
    MC_CHECK(a.value == b.value, "dims {} and {} must be equal", a.value, b.value);
  }
  if (a.known()) return a;
  if (b.known()) return b;
  return a.symbol.empty() ? b : a;
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  Shape result(rank);
  for (size_t i = 0; i < rank; ++i) {
    const Dim one(1);
    const Dim& x = i + a.size() >= rank ? a[i + a.size() - rank] : one;
    const Dim& y = i + b.size() >= rank ? b[i + b.size() - rank] : one;
    if (x.value == 1) {
      result[i] = y;
    } else if (y.value == 1) {
      result[i] = x;
    } else if (x.known() || y.known()) {
      MC_CHECK(!x.known() || !y.known() || x.value == y.value, "shapes {} and {} do not broadcast",
               to_string(a), to_string(b));
      result[i] = x.known() ? x : y;
    } else if (!x.symbol.empty() && x.symbol == y.symbol) {
      result[i] = x;
    }
  }
  return result;
}

Shape matmul_shape(const Shape& a, const Shape& b) {
  MC_CHECK(!a.empty() && !b.empty(), "a product of matrices takes no scalars");
  const size_t rows = a.size() > 1 ? 1 : 0, columns = b.size() > 1 ? 1 : 0;
  merge_dims(a.back(), b[b.size() - 1 - columns]);
  Shape y = broadcast_shapes(Shape(a.begin(), a.end() - 1 - static_cast<long>(rows)),
                             Shape(b.begin(), b.end() - 1 - static_cast<long>(columns)));
  if (rows) y.push_back(a[a.size() - 2]);
  if (columns) y.push_back(b.back());
  return y;
}

Dim add_dims(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) return Dim(a.value + b.value);
  if (a.value == 0) return b;
  if (b.value == 0) return a;
  return Dim();
}

Dim multiply_dims(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) {
    int64_t product = 0;
    return __builtin_mul_overflow(a.value, b.value, &product) ? Dim() : Dim(product);
  }
  if (a.value == 0 || b.value == 0) return Dim(0);
  if (a.value == 1) return b;
  if (b.value == 1) return a;
  return Dim();
}

void infer_same_as_input(InferContext& context) {
  if (const Type* type = context.input(0)) context.output(0, *type);
}

void infer_same_shape(InferContext& context, DType dtype) {
  const Shape* shape = input_shape(context, 0);
  context.output(0, Type::tensor(dtype, shape ? std::optional<Shape>(*shape) : std::nullopt));
}

void infer_broadcast(InferContext& context) {
  infer_broadcast_as(context, input_dtype(context, 0));
}

void infer_broadcast_as(InferContext& context, DType dtype) {
  std::optional<Shape> result = Shape();
  for (size_t i = 0; i < context.node().inputs.size(); ++i) {
    const Shape* shape = input_shape(context, i);
    if (shape && result) {
      result = broadcast_shapes(*result, *shape);
    } else {
      result.reset();
    }
  }
  context.output(0, Type::tensor(dtype, result));
}

}  // namespace mc
