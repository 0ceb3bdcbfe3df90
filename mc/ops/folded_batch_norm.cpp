// Batch normalization folded into the convolution before it, while training (Jacob et al. 2018, section
// 3.2; Krishnamoorthi 2018, section 3.2.2). Two operators of our domain:
//
//   FoldedWeight(w, gamma, var) = w * gamma / sqrt(var + epsilon), along output channel `axis`.
//   FoldedBatchNormalization(y, gamma, beta, mean, var, frozen): y is the convolution with the folded
//     (and fake-quantized) weight.
//
// Frozen, or in eval(): z = y + beta - mean * gamma / sqrt(var + epsilon), exactly what an export with
// folded weights computes. In train() before that: batch statistics. Batch norm does not see a scale of
// its input, so normalizing y itself is the correction from running to batch statistics, and needs no
// second convolution; the running statistics are those of y divided by the folded scale.
#include "mc/ops/folded_batch_norm.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {

at::Tensor folded_scale(const at::Tensor& gamma, const at::Tensor& var, double epsilon) {
  return gamma * (var + epsilon).rsqrt();
}

namespace {

// y has about the variance gamma squared: the model's own epsilon, meant for the unscaled value, would
// count for too much where gamma is small.
constexpr double kFoldedEpsilon = 1e-10;

Kernel bind_folded_weight(const BindContext& context) {
  const double epsilon = context.node.get_float("epsilon", 1e-5F);
  const int64_t axis = context.node.get_int("axis", 0);
  return [epsilon, axis](const KernelArgs& args) {
    const at::Tensor& w = args.in(0);
    std::vector<int64_t> shape(w.dim(), 1);
    shape[axis] = -1;
    args.out(0, w * folded_scale(args.in(1), args.in(2), epsilon).reshape(shape));
  };
}

// Running statistics of the unscaled value; channels with gamma 0 have none to learn from.
void update_statistics(at::Tensor mean, at::Tensor var, const at::Tensor& batch_mean,
                       const at::Tensor& batch_var, const at::Tensor& scale, double keep) {
  const at::Tensor dead = scale.eq(0);
  const at::Tensor divisor = at::where(dead, at::ones_like(scale), scale);
  mean.copy_(at::where(dead, mean, mean * keep + batch_mean / divisor * (1 - keep)));
  var.copy_(at::where(dead, var, var * keep + batch_var / divisor.square() * (1 - keep)));
}

Kernel bind_folded_batch_norm(const BindContext& context) {
  const double epsilon = context.node.get_float("epsilon", 1e-5F);
  const double momentum = context.node.get_float("momentum", 0.9F);
  return [epsilon, momentum](const KernelArgs& args) {
    const at::Tensor& y = args.in(0);
    const at::Tensor& gamma = args.in(1);
    const at::Tensor& beta = args.in(2);
    const at::Tensor& mean = args.in(3);
    const at::Tensor& var = args.in(4);
    const bool frozen = args.in(5).item<int64_t>() != 0;
    const at::Tensor scale = folded_scale(gamma, var, epsilon);
    if (!args.run.training || frozen) {
      std::vector<int64_t> shape(y.dim(), 1);
      shape[1] = -1;
      return args.out(0, y + (beta - mean * scale).reshape(shape).to(y.scalar_type()));
    }
    const at::Tensor batch_mean = at::zeros_like(mean);
    const at::Tensor batch_var = at::ones_like(var);
    args.out(0, at::batch_norm(y, gamma.abs(), beta, batch_mean, batch_var, true, 1.0, kFoldedEpsilon, true));
    at::NoGradGuard no_grad;
    update_statistics(mean, var, batch_mean, batch_var, scale, momentum);
  };
}

}  // namespace

std::vector<Op> folded_batch_norm_ops() {
  Op weight = make_op("FoldedWeight", 1, bind_folded_weight, infer_same_as_input);
  weight.domain = "mc";
  weight.roles = {Role::kConstant, Role::kWeight, Role::kStatistic};
  weight.passes_roles = true;  // the weight is still the convolution's, for pruning and reports
  Op norm = make_op("FoldedBatchNormalization", 1, bind_folded_batch_norm, infer_same_as_input);
  norm.domain = "mc";
  norm.roles = {Role::kConstant,  Role::kWeight,    Role::kWeight,
                Role::kStatistic, Role::kStatistic, Role::kState};
  return {std::move(weight), std::move(norm)};
}

}  // namespace mc
