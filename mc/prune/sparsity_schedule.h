// How sparsity grows over the steps of training: pure functions of the step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mc {

// Where training stands on the way from `initial` to `target` sparsity: 0 before `begin`, 1 from `end` on.
struct SparsitySchedule {
  std::string name = "cubic";  // of sparsity_schedules()
  int64_t begin = 0, end = 0;  // steps
  int64_t cycles = 1;          // of cyclic

  // The sparsity at `step`. begin <= end.
  double sparsity(double initial, double target, int64_t step) const;
  // Part of the way, in [0, 1]: the sparsity from 0 to 1.
  double progress(int64_t step) const { return sparsity(0, 1, step); }
};

struct SparsityScheduleKind {
  std::string name;
  std::string summary;
  // `way`: part of the steps between begin and end that have passed, in (0, 1).
  double (*sparsity)(double initial, double target, double way);
};

// cubic:       fast first, slow at the end (Zhu and Gupta 2017, "To prune, or not to prune", eq. 1)
// linear:      the same part in each step
// exponential: each step prunes the same part of what is left (as iterative pruning of Han et al. 2015 does)
// cyclic:      `cycles` times from initial to target, cubic each time (Srinivas et al. 2022, "Cyclical
//              Pruning for Sparse Neural Networks"); pruned weights come back when a cycle begins
// constant:    the target from `begin` on, the mask made anew as often as frequency says
// one_shot:    the target at `begin`, once
const std::vector<SparsityScheduleKind>& sparsity_schedules();
std::vector<std::string> sparsity_schedule_names();
const SparsityScheduleKind& find_sparsity_schedule(const std::string& name);  // Error with the nearest name

}  // namespace mc
