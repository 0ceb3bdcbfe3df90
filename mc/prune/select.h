// The elements of largest score, an exact number of them: the hot path of every mask.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/prune/structure.h"

namespace mc {

// Tensors whose elements compete with each other.
struct Selection {
  std::vector<ScoreTensor> scores = {};
  int64_t drop = 0;                     // elements that go, of all tensors together: the smallest; 0 to all
  std::vector<std::string> names = {};  // of the tensors, for messages; may be empty

  // What comes out:
  std::vector<at::Tensor> keep = {};  // bool, laid out in memory as the scores
  float threshold = 0;                // the largest score that goes; meaningless when none does
};

// Fills in `keep` and `threshold` of each. Of equal scores those go that stand later in memory (first by
// tensor). Throws Error that names a tensor with a score that is NaN or infinite.
//
// On the CPU in float, the memory is read once and the mask written once: a sample tells a narrow range that
// holds the threshold; the pass keeps what is above and notes what is inside, and of these few the exact
// threshold is found. Where the sample misleads (seldom), the pass is repeated with a wider range. This is
// Floyd and Rivest's selection (1975, "Expected time bounds for selection") with both partitions by vectors.
void select_largest(std::vector<Selection>& selections);

}  // namespace mc
