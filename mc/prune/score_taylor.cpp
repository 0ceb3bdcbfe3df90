// P. Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019, equation 8: (g w)^2,
// the change of the squared loss to first order when a weight goes. While training it is averaged over steps
// with the momentum of the authors' code; before any step it is the mean over samples.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/accumulated_score.h"
#include "mc/prune/data_gradients.h"
#include "mc/prune/data_scores.h"

namespace mc {
namespace {

constexpr double kTaylorMomentum = 0.9;

class TaylorScore : public AccumulatedScore {
 public:
  void after_backward(const ScoreContext& context) override {
    const at::NoGradGuard no_grad;
    for (const PrunedWeight& weight : context.weights) {
      const at::Tensor gradient = weight.tensor.grad();
      if (!gradient.defined()) continue;
      const at::Tensor term = (gradient * weight.tensor).square_();
      at::Tensor& mean = seen_[weight.name];
      mean = mean.defined() ? mean.mul_(kTaylorMomentum).add_(term, 1 - kTaylorMomentum) : term;
    }
  }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    if (!seen_.empty()) return accumulated(context);
    std::vector<at::Tensor> squares = mean_squared_gradients(context, "taylor");
    std::vector<ScoreTensor> scores;
    scores.reserve(squares.size());
    for (size_t i = 0; i < squares.size(); ++i) {
      scores.push_back({squares[i].mul_(context.weights[i].tensor.detach().square())});
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> make_taylor_score() {
  return std::make_unique<TaylorScore>();
}

}  // namespace mc
