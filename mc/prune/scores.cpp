#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/prune/score.h"

namespace mc {

const std::vector<ScoreKind>& score_kinds() {
  static const std::vector<ScoreKind> kinds = {
      {"magnitude", "the size of a weight (Han et al. 2015)", false, false, make_magnitude_score},
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
