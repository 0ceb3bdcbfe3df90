// Scores that learn from data: gradients while training, one look at a few labelled batches, or the inputs of
// layers. Each file has its source.
#pragma once

#include <memory>

#include "mc/prune/score.h"

namespace mc {

// While training.
std::unique_ptr<Score> make_movement_score();
std::unique_ptr<Score> make_taylor_score();  // from ScoreContext::data where no step has been seen

// From ScoreContext::data, whose loss is run as the module's train() or eval() says; running statistics are
// put back. Their scores compare across weights (global scope).
std::unique_ptr<Score> make_snip_score();
// `differences`: Hessian times gradient by finite differences of gradients, which is used anyway where an
// operator has no second derivative.
std::unique_ptr<Score> make_grasp_score(bool differences = false);
std::unique_ptr<Score> make_hessian_score();

// Without labels; GraphModules only, for whose layers alone inputs can be seen.
std::unique_ptr<Score> make_synflow_score();
std::unique_ptr<Score> make_wanda_score();

}  // namespace mc
