#include "mc/prune/score.h"

namespace mc {
namespace {

class MagnitudeScore : public Score {
 public:
  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    std::vector<ScoreTensor> scores;
    for (const PrunedWeight& weight : context.weights)
      scores.push_back({weight.tensor.detach(), /*absolute=*/true});
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> make_magnitude_score() {
  return std::make_unique<MagnitudeScore>();
}

}  // namespace mc
