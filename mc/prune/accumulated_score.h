// Scores that grow with the steps of training: one tensor a weight, which is the state as well.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/prune/score.h"

namespace mc {

class AccumulatedScore : public Score {
 public:
  std::map<std::string, at::Tensor> save() const override { return seen_; }
  void load(const std::map<std::string, at::Tensor>& state) override { seen_ = state; }

 protected:
  // Zeros for a weight of which nothing was seen.
  std::vector<ScoreTensor> accumulated(const ScoreContext& context) const;

  std::map<std::string, at::Tensor> seen_;  // by weight
};

}  // namespace mc
