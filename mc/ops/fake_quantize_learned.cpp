#include "mc/ops/fake_quantize_learned.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize_composed.h"
#include "mc/ops/fake_quantize_cpu.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// The same sums by ATen's operators.
LearnedGradients learned_gradients_composed(const at::Tensor& x, const at::Tensor& grad,
                                            const FakeQuantizeState& state,
                                            const FakeQuantizeOptions& options) {
  const at::ScalarType math = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor active = activated(x, options).to(math);
  const at::Tensor scale = spread_along(state.scale, x, options.axis).to(math);
  const at::Tensor zero = spread_along(state.zero_point, x, options.axis).to(math);
  const at::Tensor steps = active * scale.reciprocal();
  const at::Tensor level = at::round(steps) + zero;
  const at::Tensor clamped = at::clamp(level, options.quant_min, options.quant_max);
  const at::Tensor inside = level == clamped;
  const at::Tensor by_scale = clamped - zero - at::where(inside, steps, 0);
  const at::Tensor g = grad.to(math);
  std::vector<int64_t> axes;
  for (int64_t axis = 0; axis < x.dim(); ++axis) {
    if (axis != options.axis) axes.push_back(axis);
  }
  const auto sum = [&](const at::Tensor& t) {
    return (axes.empty() ? t : t.sum(axes)).to(at::kFloat).reshape(state.scale.sizes());
  };
  at::Tensor passes = inside;
  if (options.activation != FakeQuantizeOptions::Activation::kNone) {
    passes = fake_quantize_composed(x, state, options).second;
  }
  return {at::where(passes, grad, 0), sum(g * by_scale), sum(at::where(inside, 0, g))};
}

// What backward needs beside x.
struct LearnedContext : torch::CustomClassHolder {
  FakeQuantizeState state;
  FakeQuantizeOptions options;
  at::Tensor factor;  // float [C], of the gradients of scale and offset
  bool learns = false;
  bool has_offset = false;
};

// 1 / sqrt(n Qp) for each channel.
at::Tensor gradient_factor(const at::Tensor& x, const FakeQuantizeState& state,
                           const FakeQuantizeOptions& options, bool batched) {
  int64_t parts = state.scale.numel();
  if (batched && x.dim() > 0 && options.axis != 0) parts *= x.size(0);
  const double elements = static_cast<double>(std::max<int64_t>(x.numel() / std::max<int64_t>(parts, 1), 1));
  const at::Tensor positive = at::clamp_min(options.quant_max - state.zero_point, 1).to(at::kFloat);
  return (positive * elements).rsqrt();
}

LearnedGradients learned_gradients(const at::Tensor& x, const at::Tensor& grad, const LearnedContext& held) {
  const bool own = takes_own_loops(x) && takes_learned_loops(x, held.options.axis);
  return own ? learned_gradients_cpu(x, grad, held.state, held.options)
             : learned_gradients_composed(x, grad, held.state, held.options);
}

class LearnedFunction : public torch::autograd::Function<LearnedFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& scale, const std::optional<at::Tensor>& offset,
                            const c10::intrusive_ptr<LearnedContext>& held) {
    held->learns = scale.requires_grad();
    held->has_offset = offset.has_value();
    context->save_for_backward({x});
    context->saved_data["held"] = c10::IValue::make_capsule(held);
    return takes_own_loops(x) ? fake_quantize_cpu(x, held->state, held->options, /*with_bits=*/false).first
                              : fake_quantize_composed(x, held->state, held->options).first;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto capsule = context->saved_data["held"].toCapsule();
    const auto& held = static_cast<const LearnedContext&>(*capsule);
    const LearnedGradients found = learned_gradients(context->get_saved_variables()[0], grads[0], held);
    torch::autograd::variable_list result = {found.x, {}, {}, {}};
    if (!held.learns) return result;
    result[1] = found.scale * held.factor;
    if (held.has_offset) {
      // With the offset held, a clamped level moves by the whole level, not by its distance from zero point.
      result[1] = (found.scale + found.clamped * held.state.zero_point) * held.factor;
      result[2] = found.clamped * held.factor;
    }
    return result;
  }
};

void check_learned(const at::Tensor& x, const LearnedQuantizer& quantizer,
                   const FakeQuantizeOptions& options) {
  MC_CHECK(x.is_floating_point(), "the input holds {}; only floating numbers can be fake-quantized",
           dtype_name(to_dtype(x.scalar_type())));
  MC_CHECK(options.axis < x.dim(), "axis is {}; the input has {} dims", options.axis, x.dim());
  MC_CHECK(options.block == 0, "learned scales have no blocks");
  const int64_t channels = scale_count(x, options);
  const auto check = [&](const at::Tensor& tensor, at::ScalarType type) {
    MC_CHECK(tensor.numel() == channels && tensor.dim() == 1 && tensor.scalar_type() == type,
             "scale and offset must be float and the zero point int32, with {} elements each", channels);
    MC_CHECK(tensor.is_contiguous() && tensor.device() == x.device(),
             "the state must be contiguous and on the device of the input");
  };
  check(quantizer.scale, at::kFloat);
  check(quantizer.zero_point, at::kInt);
  if (quantizer.offset.defined()) check(quantizer.offset, at::kFloat);
}

Kernel bind_learned_fake_quantize(const BindContext& context) {
  const std::string init = context.node.get_string("init", "lsq");
  MC_CHECK(init == "lsq" || init == "lsq_plus", "init is '{}'; it must be lsq or lsq_plus", init);
  const bool batched = context.node.get_int("batched", 0) != 0;
  return [options = fake_quantize_options(context.node), batched,
          init = init == "lsq" ? LearnedInit::kLsq : LearnedInit::kLsqPlus](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    LearnedQuantizer quantizer{args.in(1), args.in(2), args.in_or(4)};
    const at::Tensor& flags = args.in(3);
    MC_CHECK(flags.is_cpu() && flags.scalar_type() == at::kLong && flags.numel() == 3,
             "flags must be three int64 numbers on the CPU: learn, quantize, ready");
    check_learned(x, quantizer, options);
    const int64_t* flag = flags.const_data_ptr<int64_t>();
    if (args.run.training && !flag[2] && initialize(x, quantizer, options, init)) {
      flags.select(0, 2).fill_(1);
    }
    if (!flag[1] || !flag[2]) return args.out(0, activated(x, options));
    if (!flag[0] || !args.run.training) {
      quantizer.scale = quantizer.scale.detach();
      if (quantizer.offset.defined()) quantizer.offset = quantizer.offset.detach();
    }
    args.out(0, learned_fake_quantize(x, quantizer, options, batched));
  };
}

}  // namespace

FakeQuantizeState settled(const LearnedQuantizer& quantizer, const FakeQuantizeOptions& options) {
  const at::NoGradGuard no_grad;
  const at::Tensor scale = quantizer.scale.detach().clamp_min(std::numeric_limits<float>::epsilon());
  FakeQuantizeState state{scale, quantizer.zero_point, {}, {}};
  if (quantizer.offset.defined()) {
    const at::Tensor zero = at::round(quantizer.offset.detach().neg() / scale);
    state.zero_point = at::clamp(zero, options.quant_min, options.quant_max).to(at::kInt);
  }
  const at::Tensor zero = state.zero_point.to(at::kFloat);
  state.running_min = (options.quant_min - zero) * scale;
  state.running_max = (options.quant_max - zero) * scale;
  return state;
}

at::Tensor learned_fake_quantize(const at::Tensor& input, const LearnedQuantizer& quantizer,
                                 const FakeQuantizeOptions& options, bool batched) {
  check_learned(input, quantizer, options);
  const FakeQuantizeState state = settled(quantizer, options);
  const bool trains = input.requires_grad() || quantizer.scale.requires_grad() ||
                      (quantizer.offset.defined() && quantizer.offset.requires_grad());
  if (!at::GradMode::is_enabled() || !trains) return fake_quantize(input, state, options);
  const bool strided = input.is_cpu() && !input.is_non_overlapping_and_dense();
  const at::Tensor x = strided ? input.contiguous() : input;
  auto held = c10::make_intrusive<LearnedContext>();
  held->state = state;
  held->options = options;
  held->factor = gradient_factor(x, state, options, batched);
  std::optional<at::Tensor> offset;
  if (quantizer.offset.defined()) offset = quantizer.offset;
  return LearnedFunction::apply(x, quantizer.scale, offset, held);
}

std::vector<Op> learned_fake_quantize_ops() {
  const Role state = Role::kState;
  return {{.name = "LearnedFakeQuantize",
           .domain = "mc",
           .roles = {Role::kConstant, Role::kWeight, state, state, Role::kWeight},
           .passes_roles = true,
           .bind = bind_learned_fake_quantize,
           .infer = infer_same_as_input}};
}

}  // namespace mc
