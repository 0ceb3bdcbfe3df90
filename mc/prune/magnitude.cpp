#include <algorithm>
#include <cmath>

#include <ATen/ops/abs.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/kthvalue.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/prune/prune.h"

namespace mc {
namespace {

int64_t pruned_count(const at::Tensor& weight, double sparsity) {
  return std::llround(sparsity * static_cast<double>(weight.numel()));
}

// Exactly `pruned_count` elements go, the smallest by magnitude. A threshold alone would take too few
// where magnitudes tie, as the zeros of an earlier mask do; ties are then broken by index.
at::Tensor unstructured_magnitude(const at::Tensor& weight, double sparsity) {
  const int64_t count = pruned_count(weight, sparsity);
  const auto options = weight.options().dtype(at::kBool);
  if (count <= 0) return at::ones_like(weight, options);
  if (count >= weight.numel()) return at::zeros_like(weight, options);
  const at::Tensor magnitude = weight.detach().abs();
  const at::Tensor flat = magnitude.flatten();
  const at::Tensor threshold = std::get<0>(flat.kthvalue(count));
  at::Tensor mask = magnitude.gt(threshold);
  const int64_t missing = weight.numel() - count - mask.sum().item<int64_t>();
  if (missing > 0) {
    const at::Tensor tied = flat.eq(threshold).nonzero().flatten().slice(0, 0, missing);
    at::Tensor flat_mask = mask.flatten();
    flat_mask.index_fill_(0, tied, true);
    mask = flat_mask.view(mask.sizes());
  }
  return mask;
}

}  // namespace

const std::vector<PruningMethod>& pruning_methods() {
  static const std::vector<PruningMethod> methods = {
      {"unstructured_magnitude", "the smallest weights of each layer (Han et al. 2015)",
       unstructured_magnitude},
  };
  return methods;
}

std::vector<std::string> list_methods() {
  std::vector<std::string> names;
  for (const PruningMethod& method : pruning_methods()) names.push_back(method.name);
  return names;
}

const PruningMethod& find_pruning_method(const std::string& name) {
  for (const PruningMethod& method : pruning_methods()) {
    if (method.name == name) return method;
  }
  fail("unknown pruning method '{}'{}; known: {}", name, did_you_mean(name, list_methods()),
       join(list_methods(), ", "));
}

double cubic_sparsity(double initial, double target, int64_t step, int64_t begin, int64_t end) {
  if (step >= end) return target;
  if (step <= begin) return initial;
  const double left = 1.0 - static_cast<double>(step - begin) / static_cast<double>(end - begin);
  return target + (initial - target) * left * left * left;
}

}  // namespace mc
