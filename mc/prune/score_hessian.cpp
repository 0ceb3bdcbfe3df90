// Optimal brain damage: Y. LeCun, J. Denker and S. Solla, "Optimal brain damage", NIPS 1989, equation 5:
// saliency h w^2 / 2 with the diagonal h of the Hessian. In place of the Hessian stands the empirical Fisher
// information, the mean of squared gradients, which equals it in expectation where the model fits the labels.
// The mean is over batches: with batches of one sample it is the Fisher information itself.
#include <ATen/ATen.h>

#include "mc/prune/data_gradients.h"
#include "mc/prune/data_scores.h"

namespace mc {
namespace {

class HessianScore : public Score {
 public:
  void begin(const ScoreContext& context) override { check_has_loss(context, "hessian"); }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    std::vector<ScoreTensor> scores;
    std::vector<at::Tensor> diagonals = mean_squared_gradients(context, "hessian");
    for (size_t i = 0; i < diagonals.size(); ++i) {
      scores.push_back({diagonals[i].mul_(context.weights[i].tensor.detach().square()).mul_(0.5)});
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> make_hessian_score() {
  return std::make_unique<HessianScore>();
}

}  // namespace mc
