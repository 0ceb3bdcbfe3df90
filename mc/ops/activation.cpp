// Pointwise activations.
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using Function = std::function<at::Tensor(const at::Tensor&)>;

// An operator that `make` turns, attributes read, into a function of one tensor.
Op pointwise(const char* name, int64_t since, Function (*make)(const Node&),
             QuantPart quant = QuantPart::kNone) {
  return {.name = name,
          .since = since,
          .quant = quant,
          .bind = [make](const BindContext& context) { return unary(make(context.node)); },
          .infer = infer_same_as_input};
}

Function leaky_relu(const Node& node) {
  const double alpha = node.get_float("alpha", 0.01f);
  return [alpha](const at::Tensor& x) { return at::leaky_relu(x, alpha); };
}

Function elu(const Node& node) {
  const double alpha = node.get_float("alpha", 1);
  return [alpha](const at::Tensor& x) { return at::elu(x, alpha); };
}

// Klambauer et al., "Self-normalizing neural networks" (2017), equation 2.
Function selu(const Node& node) {
  const double alpha = node.get_float("alpha", 1.67326319217681884765625f);
  const double gamma = node.get_float("gamma", 1.05070102214813232421875f);
  return [=](const at::Tensor& x) { return at::elu(x, alpha, gamma); };
}

Function celu(const Node& node) {
  const double alpha = node.get_float("alpha", 1);
  MC_CHECK(alpha != 0, "alpha must not be 0");
  return [alpha](const at::Tensor& x) { return at::celu(x, alpha); };
}

Function hard_sigmoid(const Node& node) {
  const double alpha = node.get_float("alpha", 0.2f), beta = node.get_float("beta", 0.5f);
  return [=](const at::Tensor& x) { return at::clamp(x * alpha + beta, 0, 1); };
}

Function thresholded_relu(const Node& node) {
  const double alpha = node.get_float("alpha", 1);
  return [alpha](const at::Tensor& x) { return at::threshold(x, alpha, 0); };
}

Function gelu(const Node& node) {
  const std::string approximate = node.get_string("approximate", "none");
  MC_CHECK(approximate == "none" || approximate == "tanh", "approximate is '{}'; it must be none or tanh",
           approximate);
  return [approximate](const at::Tensor& x) { return at::gelu(x, approximate); };
}

Function swish(const Node& node) {
  const double alpha = node.get_float("alpha", 1);
  if (alpha == 1) return [](const at::Tensor& x) { return at::silu(x); };
  return [alpha](const at::Tensor& x) { return x * at::sigmoid(x * alpha); };
}

Function shrink(const Node& node) {
  const double lambda = node.get_float("lambd", 0.5f), bias = node.get_float("bias", 0);
  return [=](const at::Tensor& x) {
    const at::Tensor y = at::where(x > lambda, x - bias, at::where(x < -lambda, x + bias, at::zeros_like(x)));
    return y.to(x.scalar_type());
  };
}

// The slope broadcasts to the input; zero belongs to the positive side.
Kernel bind_prelu(const BindContext&) {
  return binary([](const at::Tensor& x, const at::Tensor& slope) {
    return at::where(x < 0, x * slope.to(x.scalar_type()), x);
  });
}

// A bound of Clip: an attribute or a constant becomes a number on binding, so that nothing waits for a
// device.
struct Bound {
  size_t input = 0;
  std::optional<at::Scalar> number;
  at::Tensor tensor(const KernelArgs& args, const at::Tensor& x) const {
    if (number) return at::scalar_tensor(*number, x.options().requires_grad(false));
    return args.has(input) ? on_device_of(args.in(input), x) : at::Tensor();
  }
};

Bound clip_bound(const BindContext& context, size_t input) {
  Bound bound{input, std::nullopt};
  if (context.opset < 11) {
    const char* name = input == 1 ? "min" : "max";
    if (context.node.find(name)) bound.number = context.node.get_float(name, 0);
  } else if (const mc::Tensor* value = context.constant(input)) {
    MC_CHECK(value->count() == 1, "input {} has {} elements; a bound is one number", input, value->count());
    if (dtype_is_float(value->dtype)) {
      bound.number = value->as_doubles()[0];
    } else {
      bound.number = value->as_ints()[0];
    }
  }
  return bound;
}

Kernel bind_clip(const BindContext& context) {
  return [low = clip_bound(context, 1), high = clip_bound(context, 2)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const bool numbers = (low.number || !args.has(1)) && (high.number || !args.has(2));
    if (numbers && !low.number && !high.number) return args.out(0, x);
    if (numbers) return args.out(0, at::clamp(x, low.number, high.number));
    const at::Tensor least = low.tensor(args, x), most = high.tensor(args, x);
    args.out(0, at::clamp(x, least.defined() ? std::optional<at::Tensor>(least) : std::nullopt,
                          most.defined() ? std::optional<at::Tensor>(most) : std::nullopt));
  };
}

template <at::Tensor (*function)(const at::Tensor&)>
Function plain(const Node&) {
  return [](const at::Tensor& x) { return function(x); };
}

at::Tensor softsign(const at::Tensor& x) {
  return x / (x.abs() + 1);
}

at::Tensor softplus(const at::Tensor& x) {
  return at::softplus(x);
}

at::Tensor hard_swish(const at::Tensor& x) {
  return at::hardswish(x);
}

}  // namespace

std::vector<Op> activation_ops() {
  const QuantPart fused = QuantPart::kActivation;
  return {
      pointwise("Relu", 1, plain<at::relu>, fused),
      pointwise("LeakyRelu", 1, leaky_relu),
      {.name = "PRelu",
       .roles = {Role::kConstant, Role::kWeight},
       .bind = bind_prelu,
       .infer = infer_same_as_input},
      pointwise("Elu", 1, elu),
      pointwise("Selu", 1, selu),
      pointwise("Celu", 12, celu),
      pointwise("Sigmoid", 1, plain<at::sigmoid>),
      pointwise("HardSigmoid", 1, hard_sigmoid),
      pointwise("HardSwish", 14, plain<hard_swish>),
      pointwise("Tanh", 1, plain<at::tanh>),
      pointwise("Softplus", 1, plain<softplus>),
      pointwise("Softsign", 1, plain<softsign>),
      pointwise("ThresholdedRelu", 1, thresholded_relu),
      pointwise("Gelu", 20, gelu),
      pointwise("Mish", 18, plain<at::mish>),
      pointwise("Swish", 24, swish),
      pointwise("Shrink", 9, shrink),
      {.name = "Clip", .quant = fused, .bind = bind_clip, .infer = infer_same_as_input},
  };
}

}  // namespace mc
