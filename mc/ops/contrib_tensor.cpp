// The Microsoft domain: what moves, looks up or compares elements.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/window.h"

namespace mc {
namespace {

Kernel bind_inverse(const BindContext&) {
  return unary([](const at::Tensor& x) {
    MC_CHECK(x.dim() >= 2 && x.size(-1) == x.size(-2), "[{}] are no square matrices",
             fmt::join(x.sizes(), ","));
    return at::linalg_inv(x);
  });
}

int64_t expanded_axis(const std::vector<int64_t>& axis, int64_t rank) {
  MC_CHECK(axis.size() == 1, "axis has {} numbers, not 1", axis.size());
  return normalize_axis(axis[0], rank + 1);
}

Kernel bind_expand_dims(const BindContext& context) {
  return [axis = IntsInput(context, 1)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    args.out(0, x.unsqueeze(expanded_axis(axis.required(args), x.dim())));
  };
}

void infer_expand_dims(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const IntsArgument axis = ints_argument(context, 1);
  std::optional<Shape> y;
  if (x) {
    y = Shape(x->size() + 1);
    if (axis.values) {
      y = *x;
      y->insert(y->begin() + expanded_axis(*axis.values, static_cast<int64_t>(x->size())), Dim(1));
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

// The different elements in the order in which they first occur, where each element is among them, and how
// often each occurs.
Kernel bind_first_unique(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor x = args.in(0).flatten();
    const auto [sorted, inverse, counts] = at::unique_dim(x, 0, true, true, true);
    const at::Tensor positions = at::arange(x.numel(), inverse.options());
    const at::Tensor first = at::full({sorted.size(0)}, x.numel(), inverse.options())
                                 .scatter_reduce(0, inverse, positions, "amin", /*include_self=*/true);
    const at::Tensor order = first.argsort(), rank = order.argsort();
    args.out(0, sorted.index_select(0, order));
    args.out(1, rank.index_select(0, inverse));
    args.out(2, counts.index_select(0, order));
  };
}

void infer_first_unique(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  context.output(0, Type::tensor(input_dtype(context, 0), Shape(1)));
  context.output(1, Type::tensor(DType::kInt64, x && x->size() == 1 ? *x : Shape(1)));
  context.output(2, Type::tensor(DType::kInt64, Shape(1)));
}

// Distances between the rows of two matrices.
Kernel bind_cdist(const BindContext& context) {
  const std::string metric = context.node.get_string("metric", "sqeuclidean");
  MC_CHECK(metric == "euclidean" || metric == "sqeuclidean",
           "metric is '{}'; it must be euclidean or sqeuclidean", metric);
  return binary([squared = metric == "sqeuclidean"](const at::Tensor& a, const at::Tensor& b) {
    MC_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(1),
             "A [{}] and B [{}] are no matrices of one width", fmt::join(a.sizes(), ","),
             fmt::join(b.sizes(), ","));
    // Without the product of matrices that is faster and loses digits.
    const at::Tensor distance = at::cdist(a, b, 2, /*compute_mode=*/2);
    return squared ? distance * distance : distance;
  });
}

void infer_cdist(InferContext& context) {
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, 1);
  Shape y(2);
  if (a && a->size() == 2) y[0] = (*a)[0];
  if (b && b->size() == 2) y[1] = (*b)[0];
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

// MaxPool of [batch, space..., channels].
Kernel bind_nhwc_max_pool(const BindContext& context) {
  return unary(
      [pool = operator_function(pool_ops(), "MaxPool", context.node.attributes)](const at::Tensor& x) {
        MC_CHECK(x.dim() >= 3, "the input has {} dims; batch, space and channels are needed", x.dim());
        return pool({x.movedim(-1, 1).contiguous()}).movedim(1, -1);
      });
}

void infer_nhwc_max_pool(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Window window = parse_window(context.node(), {});
  Shape y(window.rank() + 2);
  if (x) {
    MC_CHECK(x->size() == y.size(), "the input has {} dims; the window needs {}", x->size(), y.size());
    y.front() = x->front();
    y.back() = x->back();
    for (size_t axis = 0; axis < window.rank(); ++axis) {
      const Dim& size = (*x)[axis + 1];
      if (size.known()) y[axis + 1] = window.output_size(axis, size.value);
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

}  // namespace

std::vector<Op> contrib_tensor_ops() {
  std::vector<Op> ops = {
      microsoft_op("Inverse", bind_inverse, infer_same_as_input),
      microsoft_op("ExpandDims", bind_expand_dims, infer_expand_dims),
      microsoft_op("CDist", bind_cdist, infer_cdist),
      microsoft_op("NhwcMaxPool", bind_nhwc_max_pool, infer_nhwc_max_pool),
      microsoft_op("Unique", bind_first_unique, infer_first_unique),
      microsoft_twin(layout_ops(), "Trilu"),
      microsoft_twin(pad_ops(), "Pad"),
      microsoft_twin(gather_ops(), "GatherND"),
  };
  for (Op& op : ops) {
    if (op.name == "Unique") op.differentiable = false;
  }
  return ops;
}

}  // namespace mc
