#include "mc/ops/fake_quantize_composed.h"

#include <ATen/ATen.h>

namespace mc {
namespace {

using Activation = FakeQuantizeOptions::Activation;

// ATen's fused operators: the same arithmetic for floats, in one kernel or two. They give NaN a level;
// clamping x to [y, y] is y, but NaN where x is NaN.
std::pair<at::Tensor, at::Tensor> fused_floats(const at::Tensor& active, const FakeQuantizeState& state,
                                               const FakeQuantizeOptions& options) {
  const at::Tensor scale = state.scale.detach();
  const auto [y, inside] =
      options.axis < 0
          ? at::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams(
                active, scale, state.zero_point, at::ones({1}, scale.options().dtype(at::kLong)),
                options.quant_min, options.quant_max)
          : at::fake_quantize_per_channel_affine_cachemask(active, scale, state.zero_point, options.axis,
                                                           options.quant_min, options.quant_max);
  return {at::clamp(active, y, y), inside};
}

std::pair<at::Tensor, at::Tensor> step_by_step(const at::Tensor& x, const FakeQuantizeState& state,
                                               const FakeQuantizeOptions& options) {
  const at::ScalarType math = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor active = x.to(math);
  const at::Tensor scale = spread_scales(state.scale.detach(), x, options).to(math);
  const at::Tensor zero = spread_scales(state.zero_point, x, options).to(math);
  const at::Tensor level = at::round(active * scale.reciprocal()) + zero;
  const at::Tensor clamped = at::clamp(level, options.quant_min, options.quant_max);
  return {((clamped - zero) * scale).to(x.scalar_type()), level == clamped};
}

}  // namespace

at::Tensor activated(const at::Tensor& x, const FakeQuantizeOptions& options) {
  switch (options.activation) {
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kClip:
      return at::clamp(x, options.clip_min, options.clip_max);
    default:
      return x;
  }
}

at::Tensor spread_along(const at::Tensor& parameter, const at::Tensor& x, int64_t axis) {
  if (axis < 0) return parameter.reshape({});
  std::vector<int64_t> shape(x.dim(), 1);
  shape[axis] = parameter.numel();
  return parameter.view(shape);
}

at::Tensor spread_scales(const at::Tensor& parameter, const at::Tensor& x,
                         const FakeQuantizeOptions& options) {
  if (options.block == 0) return spread_along(parameter, x, options.axis);
  std::vector<int64_t> shape = x.sizes().vec();
  shape[options.axis] /= options.block;
  return parameter.view(shape).repeat_interleave(options.block, options.axis);
}

std::pair<at::Tensor, at::Tensor> fake_quantize_composed(const at::Tensor& x, const FakeQuantizeState& state,
                                                         const FakeQuantizeOptions& options) {
  const at::Tensor active = activated(x, options);
  auto [y, passes] = x.scalar_type() == at::kFloat && options.block == 0
                         ? fused_floats(active, state, options)
                         : step_by_step(active, state, options);
  if (options.activation == Activation::kRelu) passes.logical_and_(x > 0);
  if (options.activation == Activation::kClip) {
    passes.logical_and_(x >= options.clip_min).logical_and_(x <= options.clip_max);
  }
  return {y, passes};
}

}  // namespace mc
