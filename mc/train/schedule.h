// Learning-rate schedules: a pure function of the step.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "mc/base/options.h"

namespace mc {

struct OneCycleOptions {  // Smith and Topin 2018
  static constexpr const char* kName = "one_cycle";
  double warmup = 0.25;
  double start = 0.04;
  double final = 1e-3;
  template <class V>
  void describe(V& v) {
    v.field("warmup", warmup, "part of the steps in which the rate rises", between(0, 1));
    v.field("start", start, "first rate, as a part of the peak", between(0, 1));
    v.field("final", final, "last rate, as a part of the peak", between(0, 1));
  }
};

struct CosineOptions {  // Loshchilov and Hutter 2017
  static constexpr const char* kName = "cosine";
  int64_t warmup_steps = 0;
  double final = 0;
  template <class V>
  void describe(V& v) {
    v.field("warmup_steps", warmup_steps, "steps of linear warm-up", at_least(0));
    v.field("final", final, "last rate, as a part of the peak", between(0, 1));
  }
};

struct StepDecayOptions {
  static constexpr const char* kName = "step";
  std::vector<double> milestones = {0.5, 0.75};
  double gamma = 0.1;
  int64_t warmup_steps = 0;
  template <class V>
  void describe(V& v) {
    v.field("milestones", milestones, "parts of the stage after which the rate is multiplied by gamma",
            between(0, 1));
    v.field("gamma", gamma, "factor at each milestone", above(0));
    v.field("warmup_steps", warmup_steps, "steps of linear warm-up", at_least(0));
  }
};

struct ConstantOptions {
  static constexpr const char* kName = "constant";
  int64_t warmup_steps = 0;
  template <class V>
  void describe(V& v) {
    v.field("warmup_steps", warmup_steps, "steps of linear warm-up", at_least(0));
  }
};

// get_linear_rewinding_schedule_with_warmup of model_compression_research: the rate falls on a line over the
// steps outside of pruning; while weights are pruned, it falls at the same slope and returns to where it was
// every `rewind_interval` steps, so that what stays can adapt to each new mask.
struct LinearRewindingOptions {
  static constexpr const char* kName = "linear_rewinding";
  int64_t warmup_steps = 0;
  double prune_start = 0;  // parts of the stage, as the pruning's begin and end
  double prune_end = 0.6;
  int64_t rewind_interval = 10;
  template <class V>
  void describe(V& v) {
    v.field("warmup_steps", warmup_steps, "steps of linear warm-up, from 0", at_least(0));
    v.field("prune_start", prune_start, "part of the stage after which pruning begins", between(0, 1));
    v.field("prune_end", prune_end, "part of the stage after which pruning is done", between(0, 1));
    v.field("rewind_interval", rewind_interval, "steps after which the rate returns while weights are pruned",
            at_least(1));
  }
  void check() const;  // throws Error when pruning ends before it begins
};

using ScheduleOptions =
    std::variant<OneCycleOptions, CosineOptions, StepDecayOptions, ConstantOptions, LinearRewindingOptions>;

// The rate at `step` of `total` (0 <= step < total).
double learning_rate(const ScheduleOptions& schedule, double peak, int64_t step, int64_t total);

// The rate of LinearRewindingOptions as a part of the peak, in steps.
double linear_rewinding(int64_t step, int64_t warmup_steps, int64_t total, int64_t prune_start,
                        int64_t prune_end, int64_t rewind_interval);

}  // namespace mc
