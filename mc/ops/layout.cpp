// Moves of elements that change no value: transposes, blocks to channels and back, tiles, triangles.
#include <numeric>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// The order of axes of a Transpose: reversed unless perm says otherwise.
std::vector<int64_t> permutation(const Node& node, int64_t rank) {
  std::vector<int64_t> order(rank);
  std::iota(order.rbegin(), order.rend(), 0);
  if (node.find("perm")) order = node.get_ints("perm");
  std::vector<bool> seen(rank);
  MC_CHECK(static_cast<int64_t>(order.size()) == rank, "perm [{}] is for {} dims, the input has {}",
           fmt::join(order, ","), order.size(), rank);
  for (int64_t& axis : order) {
    axis = normalize_axis(axis, rank);
    MC_CHECK(!seen[axis], "perm [{}] repeats axis {}", fmt::join(order, ","), axis);
    seen[axis] = true;
  }
  return order;
}

Kernel bind_transpose(const BindContext& context) {
  if (!context.node.find("perm")) {
    return [node = context.node](const KernelArgs& args) {
      args.out(0, args.in(0).permute(permutation(node, args.in(0).dim())));
    };
  }
  const std::vector<int64_t> given = context.node.get_ints("perm");
  return [order = permutation(context.node, static_cast<int64_t>(given.size()))](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(static_cast<size_t>(x.dim()) == order.size(), "perm [{}] is for {} dims, the input has {}",
             fmt::join(order, ","), order.size(), x.dim());
    args.out(0, x.permute(order));
  };
}

void infer_transpose(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  std::optional<Shape> result;
  if (shape) {
    result.emplace();
    for (int64_t axis : permutation(context.node(), static_cast<int64_t>(shape->size()))) {
      result->push_back((*shape)[axis]);
    }
  } else if (context.node().find("perm")) {
    result = Shape(context.node().get_ints("perm").size());
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

int64_t block_size(const Node& node) {
  const int64_t block = node.get_int("blocksize", 0);
  MC_CHECK(block >= 1, "blocksize is {}; it must be at least 1", block);
  return block;
}

Kernel bind_depth_to_space(const BindContext& context) {
  const int64_t b = block_size(context.node);
  const bool crd = context.node.get_string("mode", "DCR") == "CRD";
  return [b, crd](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() == 4 && x.size(1) % (b * b) == 0, "input [{}] is not [n, c * {}, h, w]",
             fmt::join(x.sizes(), ","), b * b);
    const int64_t n = x.size(0), c = x.size(1) / (b * b), h = x.size(2), w = x.size(3);
    const at::Tensor y = crd ? x.reshape({n, c, b, b, h, w}).permute({0, 1, 4, 2, 5, 3})
                             : x.reshape({n, b, b, c, h, w}).permute({0, 3, 4, 1, 5, 2});
    args.out(0, y.reshape({n, c, h * b, w * b}));
  };
}

Kernel bind_space_to_depth(const BindContext& context) {
  const int64_t b = block_size(context.node);
  const bool crd = context.node.get_string("mode", "DCR") == "CRD";
  return [b, crd](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() == 4 && x.size(2) % b == 0 && x.size(3) % b == 0,
             "input [{}] is not [n, c, h * {}, w * {}]", fmt::join(x.sizes(), ","), b, b);
    const int64_t n = x.size(0), c = x.size(1), h = x.size(2) / b, w = x.size(3) / b;
    const at::Tensor blocks = x.reshape({n, c, h, b, w, b});
    const at::Tensor y = crd ? blocks.permute({0, 1, 3, 5, 2, 4}) : blocks.permute({0, 3, 5, 1, 2, 4});
    args.out(0, y.reshape({n, c * b * b, h, w}));
  };
}

// Channels times `channels`, height and width times `side`; a negative factor divides.
void infer_blocks(InferContext& context, int64_t channels, int64_t side) {
  const Shape* shape = input_shape(context, 0);
  Shape result(4);
  const auto scale = [](const Dim& dim, int64_t factor) {
    if (factor > 0) return multiply_dims(dim, Dim(factor));
    return dim.known() ? Dim(dim.value / -factor) : Dim();
  };
  if (shape && shape->size() == 4) {
    result = {(*shape)[0], scale((*shape)[1], channels), scale((*shape)[2], side), scale((*shape)[3], side)};
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

void infer_depth_to_space(InferContext& context) {
  const int64_t b = block_size(context.node());
  infer_blocks(context, -b * b, b);
}

void infer_space_to_depth(InferContext& context) {
  const int64_t b = block_size(context.node());
  infer_blocks(context, b * b, -b);
}

Kernel bind_tile(const BindContext& context) {
  return [repeats = IntsInput(context, 1)](const KernelArgs& args) {
    args.out(0, args.in(0).repeat(repeats.required(args)));
  };
}

void infer_tile(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const auto repeats = context.shape_value(1);
  std::optional<Shape> result;
  if (shape) {
    result = Shape(shape->size());
    if (repeats && repeats->size() == shape->size()) {
      for (size_t i = 0; i < shape->size(); ++i) (*result)[i] = multiply_dims((*shape)[i], (*repeats)[i]);
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

Kernel bind_trilu(const BindContext& context) {
  const bool upper = context.node.get_int("upper", 1) != 0;
  return [upper, diagonal = IntsInput(context, 1)](const KernelArgs& args) {
    const auto given = diagonal.get(args);
    const int64_t k = given && !given->empty() ? given->front() : 0;
    args.out(0, upper ? args.in(0).triu(k) : args.in(0).tril(k));
  };
}

}  // namespace

std::vector<Op> layout_ops() {
  Op transpose = make_op("Transpose", 1, bind_transpose, infer_transpose);
  transpose.passes_roles = true;
  std::vector<Op> ops = {
      transpose,
      make_op("DepthToSpace", 1, bind_depth_to_space, infer_depth_to_space),
      make_op("SpaceToDepth", 1, bind_space_to_depth, infer_space_to_depth),
      make_op("Tile", 6, bind_tile, infer_tile),
      make_op("Trilu", 14, bind_trilu, infer_same_as_input),
  };
  for (Op& op : ops) op.quant = QuantPart::kSameRange;
  return ops;
}

}  // namespace mc
