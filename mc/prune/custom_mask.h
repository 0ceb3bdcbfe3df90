// Masks that someone else has found.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace mc {

// Holds weights of any module at zero where a mask says so. A GraphModule keeps the masks itself, also when
// this object is gone.
class CustomMaskPruning {
 public:
  // By parameter name: of the parameter's shape, zero (or false) where a weight goes. Applied at once. Throws
  // Error for an unknown parameter or another shape; no weight has changed then.
  CustomMaskPruning(torch::nn::Module& module, const std::map<std::string, at::Tensor>& masks);
  ~CustomMaskPruning();
  void step();            // after each step of the optimizer, where nobody else applies the masks
  void remove_pruning();  // masks are dropped, zeros stay

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::unique_ptr<CustomMaskPruning> custom_mask_pruning(torch::nn::Module& module, const std::string& name,
                                                       const at::Tensor& mask);

// The zeros that a weight has now stay zeros.
std::unique_ptr<CustomMaskPruning> lock_tensor_sparsity_pattern(torch::nn::Module& module,
                                                                const std::string& name);

}  // namespace mc
