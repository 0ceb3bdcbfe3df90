#include "mc/ops/fake_quantize.h"

#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize_cpu.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using Activation = FakeQuantizeOptions::Activation;
using Observer = FakeQuantizeOptions::Observer;

bool own_loops(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         x.is_non_overlapping_and_dense();
}

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

// A per-channel parameter in the shape that meets x.
at::Tensor spread(const at::Tensor& parameter, const at::Tensor& x, int64_t axis) {
  if (axis < 0) return parameter.reshape({});
  std::vector<int64_t> shape(x.dim(), 1);
  shape[axis] = parameter.numel();
  return parameter.view(shape);
}

// The same arithmetic by ATen's operators, for other devices, types and layouts: the result and a boolean
// mask.
std::pair<at::Tensor, at::Tensor> composed(const at::Tensor& x, const FakeQuantizeState& state,
                                           const FakeQuantizeOptions& options) {
  const at::ScalarType math = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor active = activated(x, options).to(math);
  const at::Tensor scale = spread(state.scale, x, options.axis).to(math);
  const at::Tensor zero = spread(state.zero_point, x, options.axis).to(math);
  const at::Tensor level = at::round(active * scale.reciprocal()) + zero;
  const at::Tensor clamped = at::clamp(level, options.quant_min, options.quant_max);
  at::Tensor passes = level == clamped;
  if (options.activation == Activation::kRelu) passes.logical_and_(x > 0);
  if (options.activation == Activation::kClip) {
    passes.logical_and_(x >= options.clip_min).logical_and_(x <= options.clip_max);
  }
  return {((clamped - zero) * scale).to(x.scalar_type()), passes};
}

class FakeQuantizeFunction : public torch::autograd::Function<FakeQuantizeFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const FakeQuantizeState& state, const FakeQuantizeOptions& options) {
    at::Tensor y, passes;
    if (own_loops(x)) {
      std::tie(y, passes) = fake_quantize_cpu(x, state, options, /*with_bits=*/true);
    } else {
      std::tie(y, passes) = composed(x, state, options);
    }
    context->saved_data["passes"] = passes;
    context->saved_data["strides"] = x.strides();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const at::Tensor passes = context->saved_data["passes"].toTensor();
    const at::Tensor& grad = grads[0];
    at::Tensor result;
    if (passes.scalar_type() == at::kBool) {
      result = at::where(passes, grad, at::zeros({}, grad.options()));
    } else {
      result = apply_bits_cpu(grad, passes, context->saved_data["strides"].toIntVector());
    }
    return {result, {}, {}};
  }
};

void check_state(const at::Tensor& x, const FakeQuantizeState& state, int64_t axis) {
  MC_CHECK(x.is_floating_point(), "the input holds {}; only floating numbers can be fake-quantized",
           dtype_name(to_dtype(x.scalar_type())));
  const int64_t channels = axis < 0 ? 1 : x.size(axis);
  for (const at::Tensor* tensor : {&state.scale, &state.zero_point, &state.running_min, &state.running_max}) {
    MC_CHECK(tensor->numel() == channels, "a state tensor has {} elements; the input has {} channels",
             tensor->numel(), channels);
    MC_CHECK(tensor->scalar_type() == (tensor == &state.zero_point ? at::kInt : at::kFloat),
             "scale and ranges must be float and the zero point int32");
    MC_CHECK(tensor->is_contiguous() && tensor->device() == x.device(),
             "the state must be contiguous and on the device of the input");
  }
}

FakeQuantizeOptions resolved(FakeQuantizeOptions options, const at::Tensor& x) {
  MC_CHECK(options.axis < x.dim(), "axis is {}; the input has {} dims", options.axis, x.dim());
  return options;
}

Kernel bind_fake_quantize(const BindContext& context) {
  return [options = fake_quantize_options(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const FakeQuantizeState state{args.in(1), args.in(2), args.in(3), args.in(4)};
    const at::Tensor& flags = args.in(5);
    MC_CHECK(flags.is_cpu() && flags.scalar_type() == at::kLong && flags.numel() == 2,
             "flags must be two int64 numbers on the CPU: observe, quantize");
    const int64_t* flag = flags.const_data_ptr<int64_t>();
    if (args.run.training && flag[0]) observe(x, state, options);
    args.out(0, flag[1] ? fake_quantize(x, state, options) : activated(x, options));
  };
}

}  // namespace

FakeQuantizeOptions fake_quantize_options(const Node& node) {
  FakeQuantizeOptions options;
  options.quant_min = node.get_int("quant_min", options.quant_min);
  options.quant_max = node.get_int("quant_max", options.quant_max);
  constexpr int64_t kMost = 1 << 24;
  MC_CHECK(-kMost <= options.quant_min && options.quant_min < options.quant_max && options.quant_max <= kMost,
           "quant_min {} and quant_max {} are no range within 24 bits", options.quant_min, options.quant_max);
  options.axis = node.get_int("axis", -1);
  options.symmetric = node.get_int("symmetric", 1) != 0;
  options.averaging = node.get_float("averaging", 0.01f);
  MC_CHECK(options.averaging >= 0 && options.averaging <= 1, "averaging is {}; it must be from 0 to 1",
           options.averaging);
  const std::string observer = node.get_string("observer", "moving_average");
  MC_CHECK(observer == "moving_average" || observer == "min_max",
           "observer is '{}'; it must be moving_average or min_max", observer);
  options.observer = observer == "min_max" ? Observer::kMinMax : Observer::kMovingAverage;
  const std::string activation = node.get_string("activation", "");
  MC_CHECK(activation.empty() || activation == "Relu" || activation == "Clip",
           "activation is '{}'; it must be Relu, Clip or empty", activation);
  if (activation == "Relu") options.activation = Activation::kRelu;
  if (activation == "Clip") {
    options.activation = Activation::kClip;
    options.clip_min = node.get_float("clip_min", options.clip_min);
    options.clip_max = node.get_float("clip_max", options.clip_max);
    MC_CHECK(options.clip_min <= options.clip_max, "clip_min {} is above clip_max {}", options.clip_min,
             options.clip_max);
  }
  return options;
}

std::pair<at::Tensor, at::Tensor> choose_qparams(const at::Tensor& min, const at::Tensor& max,
                                                 int64_t quant_min, int64_t quant_max, bool symmetric) {
  const at::Tensor low = min.clamp_max(0), high = max.clamp_min(0);
  const double levels = static_cast<double>(quant_max - quant_min);
  const double least = std::numeric_limits<float>::epsilon();
  if (symmetric) {
    const at::Tensor scale = (at::maximum(low.neg(), high) / (levels / 2)).clamp_min(least);
    const int64_t middle = quant_min < 0 ? 0 : (quant_min + quant_max + 1) / 2;
    return {scale, at::full_like(scale, middle, scale.options().dtype(at::kInt))};
  }
  const at::Tensor scale = ((high - low) / levels).clamp_min(least);
  const at::Tensor zero =
      at::clamp(static_cast<double>(quant_min) - at::round(low / scale), quant_min, quant_max);
  return {scale, zero.to(at::kInt)};
}

std::pair<at::Tensor, at::Tensor> observed_range(const at::Tensor& x, int64_t axis) {
  const at::NoGradGuard no_grad;
  if (own_loops(x)) return range_cpu(x, axis);
  if (axis < 0) {
    auto [low, high] = at::aminmax(x);
    return {low.to(at::kFloat).reshape({1}), high.to(at::kFloat).reshape({1})};
  }
  auto [low, high] = at::aminmax(x.transpose(0, axis).flatten(1), 1);
  return {low.to(at::kFloat), high.to(at::kFloat)};
}

void observe(const at::Tensor& x, const FakeQuantizeState& state, const FakeQuantizeOptions& given) {
  const FakeQuantizeOptions options = resolved(given, x);
  check_state(x, state, options.axis);
  if (x.numel() == 0) return;
  const at::NoGradGuard no_grad;
  auto [low, high] = observed_range(x.detach(), options.axis);
  low = activated(low, options);  // it is monotonic
  high = activated(high, options);
  const at::Tensor finite = at::isfinite(low).logical_and_(at::isfinite(high));
  const at::Tensor fresh = at::isinf(state.running_min);
  if (options.observer == Observer::kMovingAverage) {
    low = at::where(fresh, low, at::lerp(state.running_min, low, options.averaging));
    high = at::where(fresh, high, at::lerp(state.running_max, high, options.averaging));
  } else {
    low = at::minimum(state.running_min, low);
    high = at::maximum(state.running_max, high);
  }
  const auto [scale, zero] =
      choose_qparams(low, high, options.quant_min, options.quant_max, options.symmetric);
  const auto set = [&finite](const at::Tensor& to, const at::Tensor& value) {
    to.copy_(at::where(finite, value, to));
  };
  set(state.scale, scale);
  set(state.zero_point, zero);
  set(state.running_min, low);
  set(state.running_max, high);
}

at::Tensor fake_quantize(const at::Tensor& input, const FakeQuantizeState& state,
                         const FakeQuantizeOptions& given) {
  const FakeQuantizeOptions options = resolved(given, input);
  check_state(input, state, options.axis);
  const bool strided = input.is_cpu() && !input.is_non_overlapping_and_dense();
  const at::Tensor x = strided ? input.contiguous() : input;
  if (at::GradMode::is_enabled() && x.requires_grad()) return FakeQuantizeFunction::apply(x, state, options);
  return own_loops(x) ? fake_quantize_cpu(x, state, options, /*with_bits=*/false).first
                      : composed(x, state, options).first;
}

std::vector<Op> fake_quantize_ops() {
  const Role state = Role::kState;
  return {{.name = "FakeQuantize",
           .domain = "mc",
           .roles = {Role::kConstant, state, state, state, state, state},
           .passes_roles = true,
           .bind = bind_fake_quantize,
           .infer = infer_same_as_input}};
}

}  // namespace mc
