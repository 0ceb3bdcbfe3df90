// Connection sensitivity: N. Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity",
// ICLR 2019, equations 5 and 6: |g w| over its sum over all weights.
#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/data_gradients.h"
#include "mc/prune/data_scores.h"

namespace mc {
namespace {

class SnipScore : public Score {
 public:
  void begin(const ScoreContext& context) override { check_has_loss(context, "snip"); }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    std::vector<at::Tensor> sensitivities = mean_gradients(context, "snip");
    double total = 0;
    for (size_t i = 0; i < sensitivities.size(); ++i) {
      sensitivities[i].mul_(context.weights[i].tensor.detach()).abs_();
      total += sensitivities[i].sum(at::kDouble).item<double>();
    }
    MC_CHECK(total > 0, "snip: the loss depends on no weight, so none can be told from another");
    std::vector<ScoreTensor> scores;
    for (const at::Tensor& sensitivity : sensitivities) scores.push_back({sensitivity.div(total)});
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> make_snip_score() {
  return std::make_unique<SnipScore>();
}

}  // namespace mc
