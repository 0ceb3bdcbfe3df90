#include "mc/prune/sparsity_schedule.h"

#include <cmath>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

double cubic(double initial, double target, double way) {
  const double left = 1 - way;
  return target + (initial - target) * left * left * left;
}

double linear(double initial, double target, double way) {
  return initial + (target - initial) * way;
}

// A target of 1 is reached at the end only: what is left never is 0 before.
double exponential(double initial, double target, double way) {
  if (target >= 1) return linear(initial, target, way);
  return 1 - (1 - initial) * std::pow((1 - target) / (1 - initial), way);
}

double constant(double, double target, double) {
  return target;
}

}  // namespace

const std::vector<SparsityScheduleKind>& sparsity_schedules() {
  static const std::vector<SparsityScheduleKind> kinds = {
      {"cubic", "fast first, slow at the end (Zhu and Gupta 2017)", cubic},
      {"linear", "the same part in each step", linear},
      {"exponential", "each step prunes the same part of what is left", exponential},
      {"cyclic", "several times from the initial sparsity to the target (Srinivas et al. 2022)", cubic},
      {"constant", "the target from the beginning on", constant},
      {"one_shot", "the target at the beginning, once", constant},
  };
  return kinds;
}

std::vector<std::string> sparsity_schedule_names() {
  std::vector<std::string> names;
  for (const SparsityScheduleKind& kind : sparsity_schedules()) names.push_back(kind.name);
  return names;
}

const SparsityScheduleKind& find_sparsity_schedule(const std::string& name) {
  for (const SparsityScheduleKind& kind : sparsity_schedules()) {
    if (kind.name == name) return kind;
  }
  fail("unknown sparsity schedule '{}'{}; known: {}", name, did_you_mean(name, sparsity_schedule_names()),
       join(sparsity_schedule_names(), ", "));
}

double SparsitySchedule::sparsity(double initial, double target, int64_t step) const {
  const SparsityScheduleKind& kind = find_sparsity_schedule(name);
  if (step < begin) return initial;
  if (step >= end) return target;
  double way = static_cast<double>(step - begin) / static_cast<double>(end - begin);
  if (kind.name == "cyclic") {
    way *= static_cast<double>(cycles);
    way -= std::floor(way);
  }
  return kind.sparsity(initial, target, way);
}

}  // namespace mc
