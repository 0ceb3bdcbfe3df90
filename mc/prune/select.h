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

  // One of each tensor, or none at all. `keep`, where one is defined: a mask of an earlier time, which is
  // written anew where it lies in memory as the scores do, and replaced where it does not. `hold`: becomes
  // zero where the mask does; may be the scores themselves.
  std::vector<at::Tensor> keep = {};  // bool, laid out in memory as the scores; comes out
  std::vector<at::Tensor> hold = {};

  float threshold = 0;  // comes out: the largest score that goes; meaningless when none does
};

// Fills in `keep` and `threshold` of each. Of equal scores those go that stand later in memory (first by
// tensor). Throws Error that names a tensor with a score that is NaN or infinite; then nothing was written.
//
// On the CPU in float, the scores are read once: a sample tells a narrow range that holds the threshold; the
// pass leaves one bit for each score, set above that range, and notes the few inside, of which the exact
// threshold is found. Then masks are written from the bits, and values held. Where the sample misleads
// (seldom), the pass is repeated with a wider range. This is Floyd and Rivest's selection (1975, "Expected
// time bounds for selection") with both partitions by vectors.
void select_largest(std::vector<Selection>& selections);

}  // namespace mc
