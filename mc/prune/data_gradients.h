// Gradients of the loss over samples, for scores that look at data before or without training.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/prune/score.h"

namespace mc {

// Puts the buffers of a module (running statistics) back as they were: in train() a look at data moves them.
class BufferGuard {
 public:
  explicit BufferGuard(const torch::nn::Module& module);
  ~BufferGuard();
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;  // the buffer and a copy
};

// Throws Error that names the score when the context has no samples or no loss of them.
void check_has_loss(const ScoreContext& context, const std::string& who);

// Gradients of one batch's loss by each weight, zero where the loss does not depend on it; .grad() stays as
// it is. Part of an autograd graph with `create_graph`. Throws Error, naming the weight, for NaN and
// infinity.
std::vector<at::Tensor> loss_gradients(const ScoreContext& context, int64_t batch, bool create_graph = false);

// Their mean over all batches, detached.
std::vector<at::Tensor> mean_gradients(const ScoreContext& context, const std::string& who);

// The mean over all batches of the squares of these gradients: the diagonal of the empirical Fisher
// information, up to the size of a batch.
std::vector<at::Tensor> mean_squared_gradients(const ScoreContext& context, const std::string& who);

}  // namespace mc
