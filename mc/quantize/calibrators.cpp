#include "mc/quantize/calibrators.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {

const std::vector<Calibrator>& calibrators() {
  static const std::vector<Calibrator> list = {
      {"min_max", "all that was seen", false, min_max_range},
      {"moving_average", "mean over batches of what was seen", false, moving_average_range},
      {"percentile", "all but the outermost elements", true, percentile_range},
      {"entropy", "least loss of information", true, entropy_range},
      {"mse", "least squared error", true, mse_range},
  };
  return list;
}

std::vector<std::string> calibrator_names() {
  std::vector<std::string> names;
  for (const Calibrator& calibrator : calibrators()) names.push_back(calibrator.name);
  return names;
}

const Calibrator& find_calibrator(const std::string& name) {
  for (const Calibrator& calibrator : calibrators()) {
    if (calibrator.name == name) return calibrator;
  }
  fail("there is no calibrator '{}'{}; there are {}", name, did_you_mean(name, calibrator_names()),
       join(calibrator_names(), ", "));
}

void ValueStatistics::add(const at::Tensor& x, bool bins, double averaging) {
  if (x.numel() > 0) add(bins ? histogram.add(x) : finite_extremes(x), averaging);
}

void ValueStatistics::add(const Extremes& extremes, double averaging) {
  const ValueRange batch{extremes.min, extremes.max};
  const double weight = std::max(averaging, 1.0 / static_cast<double>(++batches));
  average.min += weight * (batch.min - average.min);
  average.max += weight * (batch.max - average.max);
  seen = batches == 1 ? batch : ValueRange{std::min(seen.min, batch.min), std::max(seen.max, batch.max)};
}

}  // namespace mc
