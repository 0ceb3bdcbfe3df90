// The optimizers that make_optimizer chooses from, one file each.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/train/optimizer.h"

namespace mc {

// Stochastic gradient descent with momentum as torch.optim.SGD has it: b = momentum * b + g, then
// w -= lr * b, or w -= lr * (g + momentum * b) with Nesterov (Sutskever et al. 2013).
std::unique_ptr<Optimizer> make_sgd(const SgdOptions& options, GraphModule& module);

// Adam (Kingma and Ba 2015, algorithm 1) with the decay in the gradient (L2 penalty) or, as AdamW,
// decoupled from it (Loshchilov and Hutter 2019, algorithm 2).
enum class Decay { kGradient, kDecoupled };
std::unique_ptr<Optimizer> make_adam(const AdamWOptions& options, Decay decay, GraphModule& module);

// The same steps on ATen's multi-tensor kernels, for devices that lack the fused ones. `momenta` is empty
// without momentum; `counts` holds the number of this step, from 1.
void sgd_multi_tensor(const std::vector<at::Tensor>& values, std::vector<at::Tensor> gradients,
                      const std::vector<at::Tensor>& momenta, double weight_decay, double momentum,
                      bool nesterov, double lr);
void adam_multi_tensor(const std::vector<at::Tensor>& values, std::vector<at::Tensor> gradients,
                       const std::vector<at::Tensor>& first, const std::vector<at::Tensor>& second,
                       const std::vector<at::Tensor>& counts, const AdamWOptions& options,
                       double weight_decay, Decay decay, double lr);

}  // namespace mc
