#include "mc/prune/importance.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/random.h"
#include "mc/base/text.h"

namespace mc {
namespace {

// [channels, elements of each].
at::Tensor rows_of(const at::Tensor& tensor, int64_t axis) {
  return tensor.detach().to(at::kFloat).movedim(axis, 0).flatten(1);
}

at::Tensor rows(const ImportanceInput& input) {
  const at::Tensor moved = input.weight.dim() == 1 ? input.weight.unsqueeze(1) : input.weight;
  return rows_of(moved, input.axis);
}

at::Tensor gradient_rows(const ImportanceInput& input) {
  const at::Tensor moved = input.gradient.dim() == 1 ? input.gradient.unsqueeze(1) : input.gradient;
  return rows_of(moved, input.axis);
}

at::Tensor l1_scores(const ImportanceInput& input) {
  return rows(input).abs().sum(1);
}

at::Tensor l2_scores(const ImportanceInput& input) {
  return rows(input).square().sum(1).sqrt();
}

at::Tensor fpgm_scores(const ImportanceInput& input) {
  const at::Tensor filters = rows(input);
  return at::cdist(filters, filters, 2.0, /*compute_mode=*/2).sum(1);  // 2: exact, not by a matrix product
}

at::Tensor taylor_scores(const ImportanceInput& input) {
  return (rows(input) * gradient_rows(input)).sum(1).square();
}

at::Tensor hessian_scores(const ImportanceInput& input) {
  return 0.5 * (rows(input) * gradient_rows(input)).square().sum(1);
}

at::Tensor random_scores(const ImportanceInput& input) {
  Random random(input.seed, 0, 0, input.name);
  std::vector<float> values(static_cast<size_t>(input.weight.size(input.axis)));
  for (float& value : values) value = static_cast<float>(random.uniform());
  return at::tensor(values).to(input.weight.device());
}

at::Tensor lamp_scores(const ImportanceInput& input) {
  const at::Tensor squares = rows(input).square().sum(1);
  const auto [sorted, order] = squares.sort();
  const at::Tensor not_smaller = sorted.flip(0).cumsum(0).flip(0);
  const at::Tensor ratio = at::where(not_smaller > 0, sorted / not_smaller, at::zeros_like(sorted));
  return at::empty_like(squares).index_copy_(0, order, ratio);
}

}  // namespace

const std::vector<Importance>& importances() {
  static const std::vector<Importance> all = {
      {.name = "channels_l1",
       .summary = "channels of the smallest L1 norm (Li et al. 2017)",
       .scores = l1_scores},
      {.name = "channels_l2",
       .summary = "channels of the smallest L2 norm (He et al. 2018)",
       .scores = l2_scores},
      {.name = "channels_bn_scale",
       .summary = "channels of the smallest batch-norm scale (network slimming, Liu et al. 2017)",
       .of_norms = true,
       .scores = l2_scores},
      {.name = "channels_fpgm",
       .summary = "filters nearest to their geometric median (He et al. 2019)",
       .scores = fpgm_scores},
      {.name = "channels_taylor",
       .summary = "channels that change the loss least, to first order (Molchanov et al. 2019)",
       .needs_gradients = true,
       .scores = taylor_scores},
      {.name = "channels_hessian",
       .summary = "channels that change the loss least, to second order with the Fisher diagonal (LeCun et "
                  "al. 1990)",
       .needs_gradients = true,
       .scores = hessian_scores},
      {.name = "channels_random", .summary = "channels drawn by lot", .scores = random_scores},
      {.name = "channels_lamp",
       .summary = "channels by norm relative to the larger ones of the layer (LAMP, Lee et al. 2021)",
       .comparable = true,
       .scores = lamp_scores},
  };
  return all;
}

std::vector<std::string> importance_names() {
  std::vector<std::string> names;
  for (const Importance& importance : importances()) names.push_back(importance.name);
  return names;
}

bool is_channel_method(const std::string& name) {
  return std::ranges::any_of(importances(), [&](const Importance& i) { return i.name == name; });
}

const Importance& find_importance(const std::string& name) {
  for (const Importance& importance : importances()) {
    if (importance.name == name) return importance;
  }
  fail("unknown importance of channels '{}'{}; known: {}", name, did_you_mean(name, importance_names()),
       join(importance_names(), ", "));
}

at::Tensor channel_scores(const Importance& importance, const ImportanceInput& input) {
  const at::NoGradGuard no_grad;
  MC_CHECK(input.axis >= 0 && input.axis < input.weight.dim(), "'{}' has {} dims; no channels on axis {}",
           input.name, input.weight.dim(), input.axis);
  MC_CHECK(!importance.needs_gradients || input.gradient.defined(), "{} needs the gradient of '{}'",
           importance.name, input.name);
  MC_CHECK(!importance.needs_gradients || input.gradient.sizes() == input.weight.sizes(),
           "the gradient of '{}' has another shape than the parameter", input.name);
  at::Tensor scores = importance.scores(input);
  const at::Tensor broken = at::isfinite(scores).logical_not().nonzero().flatten();
  MC_CHECK(broken.numel() == 0,
           "{}: channel {} of '{}' has a score that is no finite number: its values hold NaN "
           "or infinity",
           importance.name, broken[0].item<int64_t>(), input.name);
  return scores;
}

}  // namespace mc
