#include "mc/prune/accumulated_score.h"

#include <ATen/ATen.h>

namespace mc {

std::vector<ScoreTensor> AccumulatedScore::accumulated(const ScoreContext& context) const {
  std::vector<ScoreTensor> scores;
  scores.reserve(context.weights.size());
  for (const PrunedWeight& weight : context.weights) {
    const auto found = seen_.find(weight.name);
    scores.push_back({found == seen_.end() ? at::zeros_like(weight.tensor.detach()) : found->second});
  }
  return scores;
}

}  // namespace mc
