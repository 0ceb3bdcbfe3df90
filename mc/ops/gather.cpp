// Gather, GatherElements, GatherND, Compress: elements chosen by indices, which may be negative (from the
// end).
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

at::Tensor gather(const at::Tensor& x, const at::Tensor& given, int64_t axis) {
  const at::Tensor index = wrap_indices(on_device_of(given, x), x.size(axis));
  // The look-up in an embedding table has a faster gradient of its own.
  if (axis == 0 && x.dim() == 2 && x.is_floating_point()) return at::embedding(x, index);
  std::vector<int64_t> dims = x.sizes().vec();
  dims.erase(dims.begin() + axis);
  dims.insert(dims.begin() + axis, index.sizes().begin(), index.sizes().end());
  return x.index_select(axis, index.flatten()).reshape(dims);
}

Kernel bind_gather(const BindContext& context) {
  const int64_t axis = context.node.get_int("axis", 0);
  const Tensor* constant = context.constant && context.node.inputs.size() > 1 ? context.constant(1) : nullptr;
  if (constant && constant->dims.empty()) {
    // One known position is a view.
    return [axis, position = constant->as_ints().at(0)](const KernelArgs& args) {
      args.out(0, args.in(0).select(normalize_axis(axis, args.in(0).dim()), position));
    };
  }
  return [axis](const KernelArgs& args) {
    args.out(0, gather(args.in(0), args.in(1), normalize_axis(axis, args.in(0).dim())));
  };
}

void infer_gather(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const Shape* indices = input_shape(context, 1);
  std::optional<Shape> result;
  if (shape && indices) {
    const int64_t axis =
        normalize_axis(context.node().get_int("axis", 0), static_cast<int64_t>(shape->size()));
    result = *shape;
    result->erase(result->begin() + axis);
    result->insert(result->begin() + axis, indices->begin(), indices->end());
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));

  const auto elements = context.shape_value(0);
  const Tensor* positions = context.constant(1);
  if (!elements || !positions || !shape || shape->size() != 1) return;
  Shape chosen;
  for (int64_t position : positions->as_ints()) {
    chosen.push_back((*elements)[normalize_axis(position, static_cast<int64_t>(elements->size()))]);
  }
  context.output_shape_value(0, chosen);
}

Kernel bind_gather_elements(const BindContext& context) {
  return [given = context.node.get_int("axis", 0)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const int64_t axis = normalize_axis(given, x.dim());
    args.out(0, x.gather(axis, wrap_indices(on_device_of(args.in(1), x), x.size(axis))));
  };
}

void infer_gather_elements(InferContext& context) {
  const Shape* indices = input_shape(context, 1);
  context.output(
      0, Type::tensor(input_dtype(context, 0), indices ? std::optional<Shape>(*indices) : std::nullopt));
}

Kernel bind_gather_nd(const BindContext& context) {
  const int64_t batch_dims = context.node.get_int("batch_dims", 0);
  return [batch_dims](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor index = on_device_of(args.in(1), x).to(at::kLong);
    const int64_t depth = index.size(-1);
    MC_CHECK(batch_dims >= 0 && batch_dims < index.dim() && batch_dims + depth <= x.dim(),
             "indices [{}] with batch_dims {} do not fit data [{}]", fmt::join(index.sizes(), ","),
             batch_dims, fmt::join(x.sizes(), ","));
    // One position in the flattened leading dims (batch and indexed) for each index tuple.
    at::Tensor position = at::zeros(index.sizes().slice(0, index.dim() - 1), index.options());
    for (int64_t d = 0; d < batch_dims; ++d) {
      std::vector<int64_t> along(position.dim(), 1);
      along[d] = x.size(d);
      position = position * x.size(d) + at::arange(x.size(d), index.options()).reshape(along);
    }
    position = flat_positions(position, index, x.sizes().slice(batch_dims, depth));
    const int64_t leading = batch_dims + depth;
    std::vector<int64_t> dims = position.sizes().vec();
    dims.insert(dims.end(), x.sizes().begin() + leading, x.sizes().end());
    const at::Tensor rows = leading == 0 ? x.unsqueeze(0) : x.flatten(0, leading - 1);
    args.out(0, rows.index_select(0, position.flatten()).reshape(dims));
  };
}

void infer_gather_nd(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const Shape* indices = input_shape(context, 1);
  std::optional<Shape> result;
  if (shape && indices && !indices->empty() && indices->back().known()) {
    const int64_t leading = context.node().get_int("batch_dims", 0) + indices->back().value;
    MC_CHECK(leading >= 0 && leading <= static_cast<int64_t>(shape->size()), "indices {} do not fit data {}",
             to_string(*indices), to_string(*shape));
    result = Shape(indices->begin(), indices->end() - 1);
    result->insert(result->end(), shape->begin() + leading, shape->end());
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

Kernel bind_compress(const BindContext& context) {
  const bool flat = !context.node.find("axis");
  return [flat, given = context.node.get_int("axis", 0)](const KernelArgs& args) {
    const at::Tensor x = flat ? args.in(0).flatten() : args.in(0);
    const at::Tensor chosen = on_device_of(args.in(1), x).flatten().nonzero().flatten();
    args.out(0, x.index_select(normalize_axis(given, x.dim()), chosen));
  };
}

void infer_compress(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (!context.node().find("axis")) {
    result = Shape(1);
  } else if (shape) {
    result = *shape;
    (*result)[normalize_axis(context.node().get_int("axis", 0), static_cast<int64_t>(shape->size()))] = Dim();
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

}  // namespace

std::vector<Op> gather_ops() {
  Op gather_op = make_op("Gather", 1, bind_gather, infer_gather);
  gather_op.roles = {Role::kWeight, Role::kConstant};  // embedding tables
  gather_op.quant = QuantPart::kSameRange;
  Op gather_nd = make_op("GatherND", 11, bind_gather_nd, infer_gather_nd);
  gather_nd.roles = gather_op.roles;  // PyTorch indexes tables of relative positions so
  return {
      gather_op,
      make_op("GatherElements", 11, bind_gather_elements, infer_gather_elements),
      gather_nd,
      make_op("Compress", 9, bind_compress, infer_compress),
  };
}

}  // namespace mc
