// Masks that count within small groups of neighbouring input channels. Internal.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

#include "mc/prune/structure.h"

namespace mc {

enum class GroupsRun {
  kOn,       // over the whole weight as one row, the input channels fastest
  kRestart,  // from the first input channel of each output and kernel position
};

// The `stay(size)` largest of each group of `group` neighbours stay (`size`: of the group, smaller at the end
// of a row); of equal scores the first. The mask is laid out in memory as the scores.
at::Tensor keep_in_groups(const ScoreTensor& scores, int64_t input_axis, int64_t group, GroupsRun run,
                          const std::function<int64_t(int64_t size)>& stay);

}  // namespace mc
