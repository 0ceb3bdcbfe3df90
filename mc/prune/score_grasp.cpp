// Gradient signal preservation: C. Wang, G. Zhang and R. Grosse, "Picking winning tickets before training by
// preserving gradient flow", ICLR 2020, equation 8. Their S(-w) = -w Hg says how much the norm of the
// gradient grows when a weight goes, and the largest go: what is kept by is w Hg. The loss is taken as it is,
// without the temperature that the authors' code puts into its logits.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
#include "mc/prune/data_gradients.h"
#include "mc/prune/data_scores.h"

namespace mc {
namespace {

// Operators of our own have no second derivative: what they leave out would go unnoticed.
bool has_own_operators(const torch::nn::Module& module) {
  const auto* graph = dynamic_cast<const GraphModule*>(&module);
  if (!graph) return false;
  for (const Node& node : graph->structure().graph.nodes) {
    if (node.domain == "mc") return true;
  }
  return false;
}

std::vector<at::Tensor> zeros_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back(at::zeros_like(tensor));
  return result;
}

// H g by differentiating g^T stop(g), as algorithm 2 of the paper does.
std::vector<at::Tensor> product_by_autograd(const ScoreContext& context,
                                            const std::vector<at::Tensor>& mean) {
  std::vector<at::Tensor> result = zeros_of(mean), weights;
  for (const PrunedWeight& weight : context.weights) weights.push_back(weight.tensor);
  for (int64_t batch = 0; batch < context.data.batches; ++batch) {
    const std::vector<at::Tensor> gradients = loss_gradients(context, batch, /*create_graph=*/true);
    const at::AutoGradMode enable(true);
    at::Tensor product = at::zeros({}, mean[0].options());
    for (size_t i = 0; i < mean.size(); ++i) product = product + (gradients[i] * mean[i]).sum();
    if (!product.requires_grad()) continue;  // the loss is linear in the weights
    const auto second = torch::autograd::grad({product}, weights, {}, false, false, /*allow_unused=*/true);
    for (size_t i = 0; i < second.size(); ++i) {
      if (second[i].defined()) result[i].add_(second[i]);
    }
  }
  for (at::Tensor& tensor : result) tensor.div_(static_cast<double>(context.data.batches));
  return result;
}

// Weights moved for a while, and put back as they were to the bit.
class Moved {
 public:
  Moved(const ScoreContext& context, const std::vector<at::Tensor>& direction, double step) {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < direction.size(); ++i) {
      at::Tensor weight = context.weights[i].tensor.detach();
      saved_.emplace_back(weight, weight.clone());
      weight.add_(direction[i], step);
    }
  }
  ~Moved() {
    const at::NoGradGuard no_grad;
    for (auto& [weight, copy] : saved_) weight.copy_(copy);
  }
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;
};

// H g = (gradient at w + e g - gradient at w - e g) / 2e, with a step of a thousandth of the weights' norm.
std::vector<at::Tensor> product_by_differences(const ScoreContext& context,
                                               const std::vector<at::Tensor>& mean) {
  double weight_norm = 0, gradient_norm = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    weight_norm += context.weights[i].tensor.detach().square().sum(at::kDouble).item<double>();
    gradient_norm += mean[i].square().sum(at::kDouble).item<double>();
  }
  if (gradient_norm == 0) return zeros_of(mean);
  const double step = 1e-3 * std::sqrt(weight_norm / gradient_norm);
  std::vector<at::Tensor> ahead, behind;
  {
    const Moved moved(context, mean, step);
    ahead = mean_gradients(context, "grasp");
  }
  {
    const Moved moved(context, mean, -step);
    behind = mean_gradients(context, "grasp");
  }
  for (size_t i = 0; i < ahead.size(); ++i) ahead[i].sub_(behind[i]).div_(2 * step);
  return ahead;
}

class GraspScore : public Score {
 public:
  explicit GraspScore(bool differences) : differences_(differences) {}

  void begin(const ScoreContext& context) override { check_has_loss(context, "grasp"); }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    const std::vector<at::Tensor> mean = mean_gradients(context, "grasp");
    const BufferGuard buffers(context.module);
    std::vector<at::Tensor> product = hessian_product(context, mean);
    std::vector<ScoreTensor> scores;
    for (size_t i = 0; i < product.size(); ++i) {
      scores.push_back({product[i].mul_(context.weights[i].tensor.detach())});
    }
    return scores;
  }

 private:
  std::vector<at::Tensor> hessian_product(const ScoreContext& context,
                                          const std::vector<at::Tensor>& mean) const {
    if (differences_ || has_own_operators(context.module)) return product_by_differences(context, mean);
    try {
      return product_by_autograd(context, mean);
    } catch (const c10::Error&) {  // an operator of ATen without a second derivative, as its LSTM
      return product_by_differences(context, mean);
    }
  }

  bool differences_;
};

}  // namespace

std::unique_ptr<Score> make_grasp_score(bool differences) {
  return std::make_unique<GraspScore>(differences);
}

}  // namespace mc
