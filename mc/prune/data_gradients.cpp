#include "mc/prune/data_gradients.h"

#include <functional>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "mc/base/error.h"

namespace mc {
namespace {

std::vector<at::Tensor> mean_over_batches(const ScoreContext& context, const std::string& who,
                                          const std::function<at::Tensor(const at::Tensor&)>& of) {
  check_has_loss(context, who);
  const BufferGuard buffers(context.module);
  std::vector<at::Tensor> sums;
  for (int64_t batch = 0; batch < context.data.batches; ++batch) {
    const std::vector<at::Tensor> gradients =
        with_context([&] { return who; }, [&] { return loss_gradients(context, batch); });
    for (size_t i = 0; i < gradients.size(); ++i) {
      const at::Tensor term = of(gradients[i]);
      if (batch == 0) {
        sums.push_back(term.clone());
      } else {
        sums[i].add_(term);
      }
    }
  }
  for (at::Tensor& sum : sums) sum.div_(static_cast<double>(context.data.batches));
  return sums;
}

}  // namespace

BufferGuard::BufferGuard(const torch::nn::Module& module) {
  for (const at::Tensor& buffer : module.buffers()) saved_.emplace_back(buffer, buffer.clone());
}

BufferGuard::~BufferGuard() {
  const at::NoGradGuard no_grad;
  for (auto& [buffer, copy] : saved_) buffer.copy_(copy);
}

void check_has_loss(const ScoreContext& context, const std::string& who) {
  MC_CHECK(context.data.batches > 0 && context.data.loss,
           "{}: this score needs labelled samples and a loss of them, and there are none", who);
}

std::vector<at::Tensor> loss_gradients(const ScoreContext& context, int64_t batch, bool create_graph) {
  const at::AutoGradMode enable(true);
  const at::Tensor loss = context.data.loss(batch);
  MC_CHECK(loss.defined() && loss.dim() == 0 && loss.requires_grad(),
           "the loss of batch {} must be a scalar that depends on the weights", batch);
  std::vector<at::Tensor> weights;
  weights.reserve(context.weights.size());
  for (const PrunedWeight& weight : context.weights) {
    MC_CHECK(
        weight.tensor.requires_grad(),
        "'{}' gives no gradient: it is frozen, or keeps latent values (regrow), of which this score has none",
        weight.name);
    weights.push_back(weight.tensor);
  }
  std::vector<at::Tensor> gradients =
      torch::autograd::grad({loss}, weights, {}, create_graph, create_graph, /*allow_unused=*/true);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = at::zeros_like(weights[i]);
    MC_CHECK(at::isfinite(gradients[i].detach().sum()).item<bool>(),
             "the gradient of '{}' in batch {} holds NaN or infinity", context.weights[i].name, batch);
  }
  return gradients;
}

std::vector<at::Tensor> mean_gradients(const ScoreContext& context, const std::string& who) {
  return mean_over_batches(context, who, [](const at::Tensor& gradient) { return gradient; });
}

std::vector<at::Tensor> mean_squared_gradients(const ScoreContext& context, const std::string& who) {
  return mean_over_batches(context, who, [](const at::Tensor& gradient) { return gradient.square(); });
}

}  // namespace mc
