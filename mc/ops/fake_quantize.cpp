#include "mc/ops/fake_quantize.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize_composed.h"
#include "mc/ops/fake_quantize_cpu.h"
#include "mc/ops/fake_quantize_observers.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using Activation = FakeQuantizeOptions::Activation;
using Observer = FakeQuantizeOptions::Observer;

class FakeQuantizeFunction : public torch::autograd::Function<FakeQuantizeFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const FakeQuantizeState& state, const FakeQuantizeOptions& options) {
    at::Tensor y, passes;
    if (takes_own_loops(x) && options.block == 0) {
      std::tie(y, passes) = fake_quantize_cpu(x, state, options, /*with_bits=*/true);
    } else {
      std::tie(y, passes) = fake_quantize_composed(x, state, options);
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
      result = at::where(passes, grad, 0);
    } else {
      result = apply_bits_cpu(grad, passes, context->saved_data["strides"].toIntVector());
    }
    return {result, {}, {}};
  }
};

void check_state(const at::Tensor& x, const FakeQuantizeState& state, const FakeQuantizeOptions& options) {
  MC_CHECK(x.is_floating_point(), "the input holds {}; only floating numbers can be fake-quantized",
           dtype_name(to_dtype(x.scalar_type())));
  MC_CHECK(options.axis < x.dim(), "axis is {}; the input has {} dims", options.axis, x.dim());
  MC_CHECK(options.block == 0 || x.size(options.axis) % options.block == 0,
           "{} elements along axis {} are no whole number of blocks of {}", x.size(options.axis),
           options.axis, options.block);
  const int64_t scales = scale_count(x, options);
  for (const at::Tensor* tensor : {&state.scale, &state.zero_point, &state.running_min, &state.running_max}) {
    MC_CHECK(tensor->numel() == scales, "a state tensor has {} elements; the input needs {} scales",
             tensor->numel(), scales);
    MC_CHECK(tensor->scalar_type() == (tensor == &state.zero_point ? at::kInt : at::kFloat),
             "scale and ranges must be float and the zero point int32");
    MC_CHECK(tensor->is_contiguous() && tensor->device() == x.device(),
             "the state must be contiguous and on the device of the input");
  }
}

// Whether it is this training run's turn to observe; `flags` count the runs where a third one is there.
bool turn_to_observe(const at::Tensor& flags, const FakeQuantizeOptions& options) {
  if (flags.numel() < 3 || options.observe_every == 1) return true;
  const int64_t run = flags.const_data_ptr<int64_t>()[2];
  flags.select(0, 2).fill_((run + 1) % options.observe_every);
  return run == 0;
}

Kernel bind_fake_quantize(const BindContext& context) {
  return [options = fake_quantize_options(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const FakeQuantizeState state{args.in(1), args.in(2), args.in(3), args.in(4), args.in_or(6)};
    const at::Tensor& flags = args.in(5);
    MC_CHECK(flags.is_cpu() && flags.scalar_type() == at::kLong && (flags.numel() == 2 || flags.numel() == 3),
             "flags must be two or three int64 numbers on the CPU: observe, quantize, runs");
    const int64_t* flag = flags.const_data_ptr<int64_t>();
    if (args.run.training && flag[0] && turn_to_observe(flags, options)) observe(x, state, options);
    args.out(0, flag[1] ? fake_quantize(x, state, options) : activated(x, options));
  };
}

Observer observer_named(const std::string& name) {
  static const std::map<std::string, Observer> observers = {{"moving_average", Observer::kMovingAverage},
                                                            {"min_max", Observer::kMinMax},
                                                            {"percentile", Observer::kPercentile},
                                                            {"mse", Observer::kMse},
                                                            {"histogram", Observer::kHistogram}};
  const auto found = observers.find(name);
  MC_CHECK(found != observers.end(),
           "observer is '{}'; it must be moving_average, min_max, percentile, mse or histogram", name);
  return found->second;
}

// The range that this run's values ask for, before it meets the ranges so far.
std::pair<at::Tensor, at::Tensor> asked_range(const at::Tensor& x, const FakeQuantizeState& state,
                                              const FakeQuantizeOptions& options) {
  if (options.observer == Observer::kMovingAverage || options.observer == Observer::kMinMax) {
    const auto [low, high] = observed_range(x, options);
    return {activated(low, options), activated(high, options)};  // it is monotonic
  }
  MC_CHECK(options.axis < 0, "the observer is for one scale a tensor");
  const at::Tensor values = activated(subsample(x), options);
  std::pair<at::Tensor, at::Tensor> range;
  if (options.observer == Observer::kPercentile) {
    range = percentile_of(values, options.percentile, options);
  } else if (options.observer == Observer::kMse) {
    range = least_error_range(subsample(values, kErrorSubsample), options);
  } else {
    range = histogram_range(values, state.histogram, options);
  }
  return {range.first.reshape({1}), range.second.reshape({1})};
}

// On the CPU, where a dozen operators on single numbers would take longer than reading the values.
void update_cpu(const FakeQuantizeState& state, const at::Tensor& asked_low, const at::Tensor& asked_high,
                const FakeQuantizeOptions& options) {
  const float* from_low = asked_low.const_data_ptr<float>();
  const float* from_high = asked_high.const_data_ptr<float>();
  auto* scale = state.scale.mutable_data_ptr<float>();
  auto* zero_point = state.zero_point.mutable_data_ptr<int32_t>();
  auto* running_min = state.running_min.mutable_data_ptr<float>();
  auto* running_max = state.running_max.mutable_data_ptr<float>();
  const auto part = static_cast<float>(options.averaging);
  // To the last bit what at::lerp gives.
  const auto between = [part](float a, float b) {
    return part < 0.5F ? std::fma(part, b - a, a) : std::fma(part - 1, b - a, b);
  };
  const auto levels = static_cast<double>(options.quant_max - options.quant_min);
  const auto lowest = static_cast<float>(options.quant_min), highest = static_cast<float>(options.quant_max);
  const int64_t middle = options.quant_min < 0 ? 0 : (options.quant_min + options.quant_max + 1) / 2;
  constexpr float kLeast = std::numeric_limits<float>::epsilon();
  for (int64_t c = 0; c < state.scale.numel(); ++c) {
    float low = from_low[c], high = from_high[c];
    if (!std::isfinite(low) || !std::isfinite(high)) continue;
    if (options.observer == Observer::kMinMax) {
      low = std::min(running_min[c], low);
      high = std::max(running_max[c], high);
    } else if (options.observer != Observer::kHistogram && !std::isinf(running_min[c])) {
      low = between(running_min[c], low);
      high = between(running_max[c], high);
    }
    running_min[c] = low;
    running_max[c] = high;
    const float below = std::min(low, 0.0F), above = std::max(high, 0.0F);
    if (options.symmetric) {
      scale[c] = std::max(std::max(-below, above) / static_cast<float>(levels / 2), kLeast);
      zero_point[c] = static_cast<int32_t>(middle);
    } else {
      scale[c] = std::max((above - below) / static_cast<float>(levels), kLeast);
      const float zero = lowest - std::nearbyint(below / scale[c]);
      zero_point[c] = static_cast<int32_t>(std::clamp(zero, lowest, highest));
    }
  }
  // By these a module knows that what it derived from the state is out of date.
  for (const at::Tensor& tensor : {state.scale, state.zero_point, state.running_min, state.running_max}) {
    tensor.unsafeGetTensorImpl()->bump_version();
  }
}

void update_composed(const FakeQuantizeState& state, const at::Tensor& asked_low,
                     const at::Tensor& asked_high, const FakeQuantizeOptions& options) {
  const at::Tensor asked = at::stack({asked_low, asked_high});
  const at::Tensor seen = at::stack({state.running_min, state.running_max});
  const at::Tensor finite = (asked.abs() < std::numeric_limits<float>::infinity()).all(0);
  at::Tensor range = asked;
  if (options.observer == Observer::kMinMax) {
    range = at::stack({at::minimum(seen[0], asked[0]), at::maximum(seen[1], asked[1])});
  } else if (options.observer != Observer::kHistogram) {
    range = at::where(at::isinf(seen), asked, at::lerp(seen, asked, options.averaging));
  }
  const at::Tensor low = range[0], high = range[1];
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
  options.observer = observer_named(node.get_string("observer", "moving_average"));
  options.percentile = node.get_float("percentile", 99.99f);
  MC_CHECK(options.percentile >= 50 && options.percentile <= 100,
           "percentile is {}; it must be from 50 to 100", options.percentile);
  options.observe_every = node.get_int("observe_every", 1);
  MC_CHECK(options.observe_every >= 1, "observe_every is {}; it must be at least 1", options.observe_every);
  options.block = node.get_int("block_size", 0);
  MC_CHECK(options.block >= 0 && (options.block == 0 || options.axis >= 0),
           "block_size {} needs an axis and must be at least 1", options.block);
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

int64_t scale_count(const at::Tensor& x, const FakeQuantizeOptions& options) {
  if (options.axis < 0) return 1;
  return options.block ? x.numel() / options.block : x.size(options.axis);
}

std::pair<at::Tensor, at::Tensor> observed_range(const at::Tensor& x, int64_t axis) {
  const at::NoGradGuard no_grad;
  if (takes_own_loops(x)) return range_cpu(x, axis);
  if (axis < 0) {
    auto [low, high] = at::aminmax(x);
    return {low.to(at::kFloat).reshape({1}), high.to(at::kFloat).reshape({1})};
  }
  auto [low, high] = at::aminmax(x.transpose(0, axis).flatten(1), 1);
  return {low.to(at::kFloat), high.to(at::kFloat)};
}

std::pair<at::Tensor, at::Tensor> observed_range(const at::Tensor& x, const FakeQuantizeOptions& options) {
  if (options.block == 0) return observed_range(x, options.axis);
  const at::NoGradGuard no_grad;
  const auto [low, high] =
      at::aminmax(x.detach().unflatten(options.axis, {-1, options.block}), options.axis + 1);
  return {low.to(at::kFloat).flatten().contiguous(), high.to(at::kFloat).flatten().contiguous()};
}

void observe(const at::Tensor& x, const FakeQuantizeState& state, const FakeQuantizeOptions& options) {
  check_state(x, state, options);
  if (x.numel() == 0) return;
  const at::NoGradGuard no_grad;
  const auto [low, high] = asked_range(x.detach(), state, options);
  if (x.is_cpu()) {
    update_cpu(state, low, high, options);
  } else {
    update_composed(state, low, high, options);
  }
}

at::Tensor fake_quantize(const at::Tensor& input, const FakeQuantizeState& state,
                         const FakeQuantizeOptions& options) {
  check_state(input, state, options);
  const bool strided = input.is_cpu() && !input.is_non_overlapping_and_dense();
  const at::Tensor x = strided ? input.contiguous() : input;
  if (at::GradMode::is_enabled() && x.requires_grad()) return FakeQuantizeFunction::apply(x, state, options);
  return takes_own_loops(x) && options.block == 0
             ? fake_quantize_cpu(x, state, options, /*with_bits=*/false).first
             : fake_quantize_composed(x, state, options).first;
}

std::vector<Op> fake_quantize_ops() {
  const Role state = Role::kState;
  return {{.name = "FakeQuantize",
           .domain = "mc",
           .roles = {Role::kConstant, state, state, state, state, state, state},
           .passes_roles = true,
           .bind = bind_fake_quantize,
           .infer = infer_same_as_input}};
}

}  // namespace mc
