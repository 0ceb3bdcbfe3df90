#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/prune/data_scores.h"
#include "mc/prune/score.h"

namespace mc {

const std::vector<ScoreKind>& score_kinds() {
  static const std::vector<ScoreKind> kinds = {
      {"magnitude", "the size of a weight (Han et al. 2015)", false, false, make_magnitude_score},
      {"movement", "minus gradient times weight, summed over steps (Sanh et al. 2020)", true, false,
       make_movement_score},
      {"taylor", "squared gradient times weight (Molchanov et al. 2019)", true, false, make_taylor_score},
      {"snip", "the share of gradient times weight (Lee et al. 2019)", false, true, make_snip_score},
      {"grasp", "weight times Hessian times gradient (Wang et al. 2020)", false, true,
       [] { return make_grasp_score(); }},
      {"hessian", "Fisher information times squared weight (LeCun et al. 1989)", false, true,
       make_hessian_score},
      {"synflow", "synaptic flow, of ones through magnitudes (Tanaka et al. 2020)", false, true,
       make_synflow_score},
      {"wanda", "weight times the norm of its input (Sun et al. 2024)", false, true, make_wanda_score},
  };
  return kinds;
}

std::vector<std::string> score_names() {
  std::vector<std::string> names;
  for (const ScoreKind& kind : score_kinds()) names.push_back(kind.name);
  return names;
}

const ScoreKind& find_score(const std::string& name) {
  for (const ScoreKind& kind : score_kinds()) {
    if (kind.name == name) return kind;
  }
  fail("unknown pruning score '{}'{}; known: {}", name, did_you_mean(name, score_names()),
       join(score_names(), ", "));
}

}  // namespace mc
