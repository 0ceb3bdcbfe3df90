// Pad: constant, or elements of the input repeated beyond its border.
#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

enum class PadMode { kConstant, kReflect, kEdge, kWrap };

PadMode pad_mode(const Node& node) {
  const std::string mode = node.get_string("mode", "constant");
  if (mode == "constant") return PadMode::kConstant;
  if (mode == "reflect") return PadMode::kReflect;
  if (mode == "edge") return PadMode::kEdge;
  if (mode == "wrap") return PadMode::kWrap;
  fail("mode is '{}', not constant, reflect, edge or wrap", mode);
}

// Elements before and after each of all axes; negative ones crop.
struct Pads {
  std::vector<int64_t> before, after;

  Pads(const std::vector<int64_t>& pads, const std::optional<std::vector<int64_t>>& axes, int64_t rank)
      : before(rank), after(rank) {
    const int64_t count = axes ? static_cast<int64_t>(axes->size()) : rank;
    MC_CHECK(static_cast<int64_t>(pads.size()) == 2 * count, "{} pads given for {} axes", pads.size(), count);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t axis = axes ? normalize_axis((*axes)[i], rank) : i;
      before[axis] = pads[i];
      after[axis] = pads[i + count];
    }
  }
};

// Where each element of the padded axis comes from.
at::Tensor sources(PadMode mode, int64_t size, int64_t before, int64_t after) {
  std::vector<int64_t> from;
  for (int64_t i = -before; i < size + after; ++i) {
    int64_t at = i;
    if (mode == PadMode::kEdge) at = std::clamp<int64_t>(i, 0, size - 1);
    if (mode == PadMode::kWrap) at = ((i % size) + size) % size;
    if (mode == PadMode::kReflect) {
      const int64_t period = std::max<int64_t>(2 * (size - 1), 1);
      at = ((i % period) + period) % period;
      if (at >= size) at = period - at;
    }
    from.push_back(at);
  }
  return at::tensor(from, at::kLong);
}

at::Tensor pad_constant(const at::Tensor& x, const Pads& pads, const at::Scalar& value) {
  std::vector<int64_t> reversed;  // LibTorch counts from the last axis
  for (int64_t axis = x.dim() - 1; axis >= 0; --axis) {
    reversed.push_back(pads.before[axis]);
    reversed.push_back(pads.after[axis]);
  }
  while (reversed.size() > 2 && reversed.back() == 0 && reversed[reversed.size() - 2] == 0) {
    reversed.resize(reversed.size() - 2);
  }
  return at::constant_pad_nd(x, reversed, value);
}

Kernel bind_pad(const BindContext& context) {
  const PadMode mode = pad_mode(context.node);
  const float attribute = context.node.get_float("value", 0.0f);
  const Tensor* constant = context.constant && !context.node.input(2).empty() ? context.constant(2) : nullptr;
  std::optional<double> known;
  if (constant && constant->count() == 1) known = constant->as_doubles()[0];
  return [mode, attribute, known, pads = IntsInput(context, 1, "pads"),
          axes = IntsInput(context, 3)](const KernelArgs& args) {
    at::Tensor x = args.in(0);
    const Pads sizes(pads.required(args), axes.get(args), x.dim());
    if (mode == PadMode::kConstant) {
      if (x.dim() == 0) return args.out(0, x);
      at::Scalar value = attribute;
      if (known) value = *known;
      if (!known && args.has(2)) value = args.in(2).item();
      return args.out(0, pad_constant(x, sizes, value));
    }
    for (int64_t axis = 0; axis < x.dim(); ++axis) {
      if (sizes.before[axis] == 0 && sizes.after[axis] == 0) continue;
      MC_CHECK(x.size(axis) > 0, "cannot pad the empty axis {} with its own elements", axis);
      const at::Tensor from = sources(mode, x.size(axis), sizes.before[axis], sizes.after[axis]);
      x = x.index_select(axis, on_device_of(from, x));
    }
    args.out(0, x);
  };
}

void infer_pad(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  const IntsArgument pads = ints_argument(context, 1, "pads");
  const IntsArgument axes = ints_argument(context, 3);
  std::optional<Shape> result;
  if (shape) {
    result = Shape(shape->size());
    if (pads.values && axes.present == axes.values.has_value()) {
      const Pads sizes(*pads.values, axes.values, static_cast<int64_t>(shape->size()));
      for (size_t i = 0; i < shape->size(); ++i) {
        const int64_t added = sizes.before[i] + sizes.after[i];
        const Dim& dim = (*shape)[i];
        if (dim.known()) {
          MC_CHECK(dim.value + added >= 0, "pads crop more than there is of {}", to_string(*shape));
          (*result)[i] = Dim(dim.value + added);
        } else if (added == 0) {
          (*result)[i] = dim;
        }
      }
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

}  // namespace

std::vector<Op> pad_ops() {
  Op pad = make_op("Pad", 2, bind_pad, infer_pad);
  pad.quant = QuantPart::kSameRange;
  return {pad};
}

}  // namespace mc
