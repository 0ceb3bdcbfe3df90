// ScatterElements, ScatterND (and Scatter, their forerunner): updates written at indices.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// LibTorch's name of ONNX's reduction; empty replaces.
std::string reduction_of(const Node& node) {
  const std::string reduction = node.get_string("reduction", "none");
  if (reduction == "none") return "";
  if (reduction == "add") return "sum";
  if (reduction == "mul") return "prod";
  if (reduction == "max") return "amax";
  if (reduction == "min") return "amin";
  fail("reduction is '{}', not none, add, mul, max or min", reduction);
}

Kernel bind_scatter_elements(const BindContext& context) {
  return [given = context.node.get_int("axis", 0),
          reduction = reduction_of(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const int64_t axis = normalize_axis(given, x.dim());
    const at::Tensor index = wrap_indices(on_device_of(args.in(1), x), x.size(axis));
    const at::Tensor updates = on_device_of(args.in(2), x);
    args.out(0, reduction.empty() ? x.scatter(axis, index, updates)
                                  : x.scatter_reduce(axis, index, updates, reduction));
  };
}

Kernel bind_scatter_nd(const BindContext& context) {
  return [reduction = reduction_of(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor index = on_device_of(args.in(1), x).to(at::kLong);
    const at::Tensor updates = on_device_of(args.in(2), x);
    const int64_t depth = index.size(-1);
    MC_CHECK(depth >= 1 && depth <= x.dim(), "indices [{}] do not fit data [{}]",
             fmt::join(index.sizes(), ","), fmt::join(x.sizes(), ","));
    const at::Tensor start = at::zeros(index.sizes().slice(0, index.dim() - 1), index.options());
    const at::Tensor position = flat_positions(start, index, x.sizes().slice(0, depth));
    const at::Tensor rows = x.flatten(0, depth - 1);
    std::vector<int64_t> dims = rows.sizes().vec();
    dims[0] = position.numel();
    const at::Tensor written = updates.reshape(dims);
    const at::Tensor flat = position.flatten();
    if (reduction.empty()) return args.out(0, rows.index_put({flat}, written).reshape(x.sizes()));
    std::vector<int64_t> column(dims.size(), 1);
    column[0] = dims[0];
    const at::Tensor spread = flat.reshape(column).expand(dims);
    const at::Tensor result = rows.scatter_reduce(0, spread, written, reduction);
    args.out(0, result.reshape(x.sizes()));
  };
}

}  // namespace

std::vector<Op> scatter_ops() {
  return {
      make_op("Scatter", 9, bind_scatter_elements, infer_same_as_input),
      make_op("ScatterElements", 11, bind_scatter_elements, infer_same_as_input),
      make_op("ScatterND", 11, bind_scatter_nd, infer_same_as_input),
  };
}

}  // namespace mc
