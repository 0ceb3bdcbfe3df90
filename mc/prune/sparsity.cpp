#include "mc/prune/sparsity.h"

#include <ATen/ATen.h>

#include "mc/prune/pruning_config.h"

namespace mc {

double get_tensor_sparsity_ratio(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return 0;
  const int64_t kept = tensor.detach().count_nonzero().item<int64_t>();
  return 1 - static_cast<double>(kept) / static_cast<double>(tensor.numel());
}

std::map<std::string, double> weight_sparsity(torch::nn::Module& module) {
  std::map<std::string, double> result;
  for (const ParameterView& view : parameter_views(module)) {
    if (is_prunable(view.kind)) result[view.name] = get_tensor_sparsity_ratio(view.tensor);
  }
  return result;
}

}  // namespace mc
