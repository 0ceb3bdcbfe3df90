#include <algorithm>

#include "mc/base/error.h"
#include "mc/quantize/calibrators.h"

namespace mc {
namespace {

// The place below which `part` of the elements lie.
double quantile(const Histogram& histogram, double part) {
  const double wanted = part * static_cast<double>(histogram.count());
  double below = 0;
  for (int64_t bin = 0; bin < Histogram::kBins; ++bin) {
    const auto count = static_cast<double>(histogram.counts()[bin]);
    if (count > 0 && below + count >= wanted) {
      return histogram.edge(bin) + histogram.width() * (wanted - below) / count;
    }
    below += count;
  }
  return histogram.max();
}

// The magnitude below which `part` of the elements lie.
double magnitude_quantile(const Histogram& histogram, double part) {
  const double wanted = part * static_cast<double>(histogram.count());
  double below = 0;
  for (int64_t bin = 0; bin < Histogram::kMiddle; ++bin) {
    const auto count = static_cast<double>(histogram.counts()[Histogram::kMiddle + bin] +
                                           histogram.counts()[Histogram::kMiddle - 1 - bin]);
    if (count > 0 && below + count >= wanted) {
      return histogram.width() * (static_cast<double>(bin) + (wanted - below) / count);
    }
    below += count;
  }
  return std::max(-histogram.min(), histogram.max());
}

}  // namespace

ValueRange percentile_range(const ValueStatistics& statistics, const QuantGrid& grid,
                            const CalibratorOptions& options) {
  MC_CHECK(options.percentile >= 50 && options.percentile <= 100,
           "the percentile is {}; it must be from 50 to 100", options.percentile);
  const double part = options.percentile / 100;
  const ValueRange& seen = statistics.seen;
  const Histogram& histogram = statistics.histogram;
  double low = seen.min, high = seen.max;
  if (grid.symmetric) {
    const double limit = magnitude_quantile(histogram, part);
    low = std::max(low, -limit);
    high = std::min(high, limit);
  } else {
    if (seen.min < 0) low = std::max(low, quantile(histogram, 1 - part));
    if (seen.max > 0) high = std::min(high, quantile(histogram, part));
  }
  return {low, std::max(low, high)};
}

}  // namespace mc
