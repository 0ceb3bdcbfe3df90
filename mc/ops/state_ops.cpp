// CausalConvWithState, TensorScatter (a cache that is written at each sample's own place), SwiGLU.
#include "mc/ops/state_ops.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

bool silu_follows(const Node& node) {
  const std::string activation = node.get_string("activation", "none");
  MC_CHECK(activation == "none" || activation == "silu" || activation == "swish",
           "activation is '{}', not none, silu or swish", activation);
  return activation != "none";
}

Kernel bind_causal_conv(const BindContext& context) {
  return [silu = silu_follows(context.node)](const KernelArgs& args) {
    const at::Tensor &x = args.in(0), &w = args.in(1);
    MC_CHECK(x.dim() == 3 && w.dim() == 3 && w.size(0) == x.size(1) && w.size(1) == 1 && w.size(2) >= 1,
             "input [{}] and weight [{}] do not fit; [batch, channels, length] and [channels, 1, kernel] are "
             "needed",
             fmt::join(x.sizes(), ","), fmt::join(w.sizes(), ","));
    MC_CHECK(!args.has(2) || args.in(2).sizes() == at::IntArrayRef({x.size(1)}),
             "the bias has {} elements; {} are needed", args.in(2).numel(), x.size(1));
    const std::vector<int64_t> state = {x.size(0), x.size(1), w.size(2) - 1};
    MC_CHECK(!args.has(3) || args.in(3).sizes() == state, "past_state is [{}]; [{}] is needed",
             fmt::join(args.in(3).sizes(), ","), fmt::join(state, ","));
    const at::Tensor seen = args.has(3) ? at::cat({args.in(3), x}, 2) : at::constant_pad_nd(x, {state[2], 0});
    if (x.numel() == 0) {
      args.out(0, x);
    } else {
      const std::vector<int64_t> one = {1}, none = {0};
      const at::Tensor y = at::conv1d(seen, w, args.in_or(2), one, none, one, /*groups=*/x.size(1));
      args.out(0, silu ? at::silu(y) : y);
    }
    args.out(1, seen.narrow(2, x.size(2), state[2]));
  };
}

void infer_causal_conv(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Shape* w = input_shape(context, 1);
  MC_CHECK((!x || x->size() == 3) && (!w || w->size() == 3), "input and weight have 3 dims");
  infer_same_as_input(context);
  Dim length;
  if (w && (*w)[2].known()) length = Dim((*w)[2].value - 1);
  context.output(
      1, Type::tensor(input_dtype(context, 0), Shape{x ? (*x)[0] : Dim(), x ? (*x)[1] : Dim(), length}));
}

double causal_conv_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  return inputs[1].size() == 3 ? element_count(outputs[0]) * element_count({inputs[1][2]}) : 0;
}

// A type of the same size that ATen scatters; the bytes are only moved.
at::ScalarType movable_type(at::ScalarType type) {
  if (type == at::kUInt16) return at::kShort;
  if (type == at::kUInt32) return at::kInt;
  if (type == at::kUInt64) return at::kLong;
  return at::isFloat8Type(type) ? at::kByte : type;
}

// Where the steps of each sample's update go along the cache's axis: [batch, steps].
at::Tensor written_places(const at::Tensor& start, int64_t steps, int64_t room, bool circular) {
  const at::Tensor place = start.unsqueeze(1) + at::arange(steps, start.options());
  if (circular) return place.remainder(room);
  MC_CHECK(!place.is_cpu() || ((place >= 0) & (place < room)).all().item<bool>(),
           "the update writes outside of a cache of {} steps", room);
  return place;
}

Kernel bind_tensor_scatter(const BindContext& context) {
  const std::string mode = context.node.get_string("mode", "linear");
  MC_CHECK(mode == "linear" || mode == "circular", "mode is '{}', not linear or circular", mode);
  return [circular = mode == "circular", given = context.node.get_int("axis", -2)](const KernelArgs& args) {
    const at::Tensor &past = args.in(0), &update = args.in(1);
    const int64_t axis = normalize_axis(given, past.dim());
    MC_CHECK(axis > 0, "axis is that of the batch; it must be a later one");
    std::vector<int64_t> wanted = past.sizes().vec();
    if (update.dim() == past.dim()) wanted[axis] = update.size(axis);
    MC_CHECK(update.sizes() == wanted && update.size(axis) <= past.size(axis),
             "an update [{}] does not fit a cache [{}] along axis {}", fmt::join(update.sizes(), ","),
             fmt::join(past.sizes(), ","), axis);
    if (update.numel() == 0) return args.out(0, args.slot(0));
    const auto longs = past.options().dtype(at::kLong);
    at::Tensor start = at::zeros({past.size(0)}, longs);
    if (args.has(2)) start = on_device_of(args.in(2), past).to(at::kLong);
    MC_CHECK(start.dim() == 1 && start.size(0) == past.size(0), "write_indices are not one a sample");
    std::vector<int64_t> shape(past.dim(), 1);
    shape[0] = past.size(0);
    shape[axis] = update.size(axis);
    const at::Tensor index =
        written_places(start, update.size(axis), past.size(axis), circular).reshape(shape).expand(wanted);
    const at::ScalarType type = past.scalar_type(), movable = movable_type(type);
    Slot present = movable == type ? past.scatter(axis, index, update)
                                   : past.view(movable).scatter(axis, index, update.view(movable)).view(type);
    present.extra = args.slot(0).extra;
    args.out(0, present);
  };
}

Kernel bind_swiglu(const BindContext& context) {
  return [alpha = static_cast<double>(context.node.get_float("alpha", 1))](const KernelArgs& args) {
    const at::Tensor &gate = args.in(0), &value = args.in(1);
    MC_CHECK(gate.sizes() == value.sizes(), "gate [{}] and value [{}] differ in shape",
             fmt::join(gate.sizes(), ","), fmt::join(value.sizes(), ","));
    args.out(0, (alpha == 1 ? at::silu(gate) : gate * at::sigmoid(gate * alpha)) * value);
  };
}

void infer_swiglu(InferContext& context) {
  const Shape* gate = input_shape(context, 0);
  const Shape* value = input_shape(context, 1);
  if (!gate || !value) return infer_same_as_input(context);
  MC_CHECK(gate->size() == value->size(), "gate has {} dims and value {}", gate->size(), value->size());
  Shape merged;
  for (size_t i = 0; i < gate->size(); ++i) merged.push_back(merge_dims((*gate)[i], (*value)[i]));
  context.output(0, Type::tensor(input_dtype(context, 0), merged));
}

}  // namespace

Op causal_conv_op() {
  return {.name = "CausalConvWithState",
          .since = 27,
          .roles = {Role::kConstant, Role::kWeight, Role::kWeight, Role::kConstant},
          .bind = bind_causal_conv,
          .infer = infer_causal_conv,
          .macs = causal_conv_macs,
          .channel_axis = [](const Node&, size_t, int64_t) -> int64_t { return 0; }};
}

Op tensor_scatter_op() {
  return make_op("TensorScatter", 24, bind_tensor_scatter, infer_same_as_input);
}

Op swiglu_op() {
  return make_op("SwiGLU", 28, bind_swiglu, infer_swiglu);
}

}  // namespace mc
