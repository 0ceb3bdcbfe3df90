#include "mc/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mc/base/error.h"

namespace mc {
namespace {

// From `from` (at 0) to `to` (at 1) along half a cosine: Loshchilov and Hutter 2017, eq. 5.
double anneal(double from, double to, double part) {
  return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * std::clamp(part, 0.0, 1.0)));
}

// Linear warm-up reaches the peak with the first step behind it.
double warm_up(int64_t step, int64_t warmup_steps) {
  return step < warmup_steps ? static_cast<double>(step + 1) / static_cast<double>(warmup_steps) : 1.0;
}

// Each gives the rate as a part of the peak.

// Two phases that end at the steps warmup * total - 1 and total - 1, as torch's OneCycleLR has them.
double factor(const OneCycleOptions& options, int64_t step, int64_t total) {
  auto at = static_cast<double>(step), last = static_cast<double>(total - 1);
  double top = std::max(0.0, options.warmup * static_cast<double>(total) - 1);
  if (at < top) return anneal(options.start, 1, at / top);
  return last > top ? anneal(1, options.final, (at - top) / (last - top)) : 1;
}

double factor(const CosineOptions& options, int64_t step, int64_t total) {
  if (step < options.warmup_steps) return warm_up(step, options.warmup_steps);
  auto begin = options.warmup_steps;
  if (total - 1 <= begin) return 1;
  return anneal(1, options.final, static_cast<double>(step - begin) / static_cast<double>(total - 1 - begin));
}

double factor(const StepDecayOptions& options, int64_t step, int64_t total) {
  auto passed = std::count_if(options.milestones.begin(), options.milestones.end(), [&](double part) {
    return static_cast<double>(step) >= part * static_cast<double>(total);
  });
  return std::pow(options.gamma, static_cast<double>(passed)) * warm_up(step, options.warmup_steps);
}

double factor(const ConstantOptions& options, int64_t step, int64_t) {
  return warm_up(step, options.warmup_steps);
}

double factor(const LinearRewindingOptions& options, int64_t step, int64_t total) {
  const auto steps = static_cast<double>(total);
  return linear_rewinding(step, options.warmup_steps, total, std::llround(options.prune_start * steps),
                          std::llround(options.prune_end * steps), options.rewind_interval);
}

}  // namespace

void LinearRewindingOptions::check() const {
  MC_CHECK(prune_start <= prune_end, "prune_end ({}) is before prune_start ({})", prune_end, prune_start);
}

double linear_rewinding(int64_t step, int64_t warmup_steps, int64_t total, int64_t prune_start,
                        int64_t prune_end, int64_t rewind_interval) {
  if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(warmup_steps);
  const int64_t pruning = prune_end - prune_start, falling = total - pruning;
  // How far the line has come: pruning counts only within an interval.
  int64_t passed = step;
  if (step >= prune_end) {
    passed -= pruning;
  } else if (step >= prune_start) {
    passed -= (step - prune_start) / rewind_interval * rewind_interval;
  }
  const auto length = static_cast<double>(std::max<int64_t>(1, falling - warmup_steps));
  return std::max(0.0, static_cast<double>(falling - passed) / length);
}

double learning_rate(const ScheduleOptions& schedule, double peak, int64_t step, int64_t total) {
  MC_CHECK(step >= 0 && step < total, "no learning rate for step {} of {}", step, total);
  return peak * std::visit([&](const auto& options) { return factor(options, step, total); }, schedule);
}

}  // namespace mc
