// The Microsoft domain: activations, alone and behind a bias.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

at::Tensor biased(const KernelArgs& args) {
  const at::Tensor& x = args.in(0);
  if (!args.has(1)) return x;
  const at::Tensor& bias = args.in(1);
  MC_CHECK(x.dim() >= 1 && bias.dim() == 1 && bias.size(0) == x.size(-1),
           "the bias [{}] must have one number for each of the last axis of [{}]",
           fmt::join(bias.sizes(), ","), fmt::join(x.sizes(), ","));
  return x + bias;
}

// Hendrycks and Gimpel, "Gaussian error linear units" (2016): exact, or by its tanh approximation.
std::function<Kernel(const BindContext&)> bind_biased_gelu(const char* approximate) {
  return [approximate](const BindContext&) -> Kernel {
    return [approximate](const KernelArgs& args) { args.out(0, at::gelu(biased(args), approximate)); };
  };
}

// The same paper's second approximation, x sigmoid(1.702 x).
Kernel bind_quick_gelu(const BindContext& context) {
  const double alpha = context.node.get_float("alpha", 1.702f);
  return unary([alpha](const at::Tensor& x) { return x * at::sigmoid(x * alpha); });
}

// One half of the last axis, times the Gelu of the other (Shazeer, "GLU variants improve transformer", 2020).
Kernel bind_bias_split_gelu(const BindContext&) {
  return [](const KernelArgs& args) {
    const at::Tensor x = biased(args);
    MC_CHECK(x.dim() >= 1 && x.size(-1) % 2 == 0, "the last axis of [{}] has no halves",
             fmt::join(x.sizes(), ","));
    const auto halves = x.chunk(2, -1);
    args.out(0, halves[0] * at::gelu(halves[1]));
  };
}

void infer_bias_split_gelu(InferContext& context) {
  std::optional<Shape> y;
  if (const Shape* x = input_shape(context, 0)) {
    y = *x;
    if (!y->empty()) y->back() = y->back().known() ? Dim(y->back().value / 2) : Dim();
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

}  // namespace

std::vector<Op> contrib_activation_ops() {
  const std::vector<Role> bias = {Role::kConstant, Role::kWeight};
  return {
      microsoft_twin(activation_ops(), "Gelu"),
      microsoft_op("FastGelu", bind_biased_gelu("tanh"), infer_same_as_input, bias),
      microsoft_op("BiasGelu", bind_biased_gelu("none"), infer_same_as_input, bias),
      microsoft_op("QuickGelu", bind_quick_gelu, infer_same_as_input),
      microsoft_op("BiasSplitGelu", bind_bias_split_gelu, infer_bias_split_gelu, bias),
  };
}

}  // namespace mc
