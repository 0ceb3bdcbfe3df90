// V. Sanh, T. Wolf and A. Rush, "Movement pruning: Adaptive sparsity by fine-tuning", NeurIPS 2020, section
// 4: a weight's score is minus the sum over steps of g w, so that what moves away from zero stays. The
// paper's factor, the learning rate of the scores, changes no order and is left out.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/accumulated_score.h"
#include "mc/prune/data_scores.h"

namespace mc {
namespace {

class MovementScore : public AccumulatedScore {
 public:
  void after_backward(const ScoreContext& context) override {
    const at::NoGradGuard no_grad;
    for (const PrunedWeight& weight : context.weights) {
      const at::Tensor gradient = weight.tensor.grad();
      if (!gradient.defined()) continue;
      at::Tensor& sum = seen_[weight.name];
      if (!sum.defined()) sum = at::zeros_like(weight.tensor.detach());
      // The gradient is that of the weight as the network computed with it, also where it is masked.
      sum.addcmul_(gradient, weight.latent.defined() ? weight.latent : weight.tensor.detach(), -1);
    }
  }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    MC_CHECK(!seen_.empty(), "movement: no step of training has been seen; masks can only follow some");
    return accumulated(context);
  }
};

}  // namespace

std::unique_ptr<Score> make_movement_score() {
  return std::make_unique<MovementScore>();
}

}  // namespace mc
