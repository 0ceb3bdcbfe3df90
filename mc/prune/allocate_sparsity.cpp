#include <algorithm>
#include <cmath>

#include "mc/base/error.h"
#include "mc/prune/distribution.h"

namespace mc {
namespace {

struct Point {
  double pruned, loss;  // elements, and what they cost
};

// A step along the lower convex hull of a curve.
struct HullStep {
  size_t weight;
  double from, to;  // elements pruned
  double slope;     // loss a pruned element
};

bool above(const Point& a, const Point& b, const Point& middle) {
  return (middle.loss - a.loss) * (b.pruned - a.pruned) >= (b.loss - a.loss) * (middle.pruned - a.pruned);
}

std::vector<Point> lower_hull(const SensitivityCurve& curve) {
  std::vector<Point> hull;
  for (size_t i = 0; i < curve.sparsities.size(); ++i) {
    const Point point{curve.sparsities[i] * static_cast<double>(curve.elements), curve.losses[i]};
    while (hull.size() >= 2 && above(hull[hull.size() - 2], point, hull.back())) hull.pop_back();
    hull.push_back(point);
  }
  return hull;
}

void check_curve(const SensitivityCurve& curve) {
  MC_CHECK(curve.elements > 0 && !curve.sparsities.empty() && curve.sparsities.front() == 0 &&
               curve.losses.size() == curve.sparsities.size() && std::ranges::is_sorted(curve.sparsities) &&
               curve.sparsities.back() <= 1,
           "a sensitivity curve needs losses at sparsities in order, from 0 on");
  MC_CHECK(std::ranges::all_of(curve.losses, [](double loss) { return std::isfinite(loss); }),
           "a sensitivity curve holds a loss that is NaN or infinite");
}

}  // namespace

std::vector<double> allocate_sparsity(const std::vector<SensitivityCurve>& curves, double sparsity) {
  double needed = 0, reached = 0;
  std::vector<HullStep> steps;
  for (size_t weight = 0; weight < curves.size(); ++weight) {
    check_curve(curves[weight]);
    const auto elements = static_cast<double>(curves[weight].elements);
    needed += sparsity * elements;
    reached += curves[weight].sparsities.back() * elements;
    const std::vector<Point> hull = lower_hull(curves[weight]);
    for (size_t i = 1; i < hull.size(); ++i) {
      const double more = hull[i].pruned - hull[i - 1].pruned;
      if (more > 0)
        steps.push_back(
            {weight, hull[i - 1].pruned, hull[i].pruned, (hull[i].loss - hull[i - 1].loss) / more});
    }
  }
  MC_CHECK(needed <= reached * (1 + 1e-9), "the curves prune {:.0f} elements at most, not {:.0f}", reached,
           needed);
  // Slopes rise along each hull, so that a weight's own steps stay in order.
  std::ranges::stable_sort(steps, {}, &HullStep::slope);
  std::vector<double> pruned(curves.size(), 0);
  for (const HullStep& step : steps) {
    const double more = std::min(step.to - step.from, needed);
    if (more <= 0) break;
    pruned[step.weight] += more;
    needed -= more;
  }
  std::vector<double> sparsities;
  for (size_t i = 0; i < curves.size(); ++i)
    sparsities.push_back(pruned[i] / static_cast<double>(curves[i].elements));
  return sparsities;
}

}  // namespace mc
