#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mc/quantize/calibrators.h"

namespace mc {
namespace {

// Bins [begin, end) of the histogram.
struct Window {
  int64_t begin = 0;
  int64_t end = 0;
};

// The divergence of windows of one histogram. Within a level all bins that are not empty in the reference get
// the same share, so that sums over any bins come from running sums, and a window costs one logarithm a
// level. Elements that are 0 are left out: every grid holds 0 exactly, and behind a Relu they would outweigh
// the rest.
class Divergence {
 public:
  Divergence(const Histogram& histogram, int64_t levels)
      : counts_(histogram.counts()),
        levels_(levels),
        total_(static_cast<double>(histogram.count() - histogram.zeros())),
        sums_(Histogram::kBins + 1),
        filled_(Histogram::kBins + 1),
        logs_(Histogram::kBins + 1),
        filled_before_(Histogram::kBins + 1, -1),
        filled_after_(Histogram::kBins + 1, Histogram::kBins) {
    counts_[Histogram::kMiddle] -= histogram.zeros();
    for (int64_t bin = 0; bin < Histogram::kBins; ++bin) {
      sums_[bin + 1] = sums_[bin] + count(bin);
      filled_[bin + 1] = filled_[bin] + (counts_[bin] > 0 ? 1 : 0);
      logs_[bin + 1] = logs_[bin] + plogp(count(bin));
      filled_before_[bin + 1] = counts_[bin] > 0 ? bin : filled_before_[bin];
    }
    for (int64_t bin = Histogram::kBins - 1; bin >= 0; --bin) {
      filled_after_[bin] = counts_[bin] > 0 ? bin : filled_after_[bin + 1];
    }
  }

  // In nats; infinite for a window that holds nothing.
  double of(const Window& window) const {
    const double inside = between(sums_, window.begin, window.end);
    if (inside == 0) return std::numeric_limits<double>::infinity();
    // What lies outside falls upon the outermost bins that are not empty.
    const int64_t first = filled_after_[window.begin], last = filled_before_[window.end];
    const double below = sums_[window.begin], above = total_ - sums_[window.end];
    // sum p log(p / q) with p = reference / total and q = share / inside.
    double reference = between(logs_, window.begin, window.end);
    if (first == last) {
      reference += plogp(count(first) + below + above) - plogp(count(first));
    } else {
      reference += plogp(count(first) + below) - plogp(count(first));
      reference += plogp(count(last) + above) - plogp(count(last));
    }
    const int64_t size = window.end - window.begin;
    const int64_t lowest = level_of(first - window.begin, size),
                  highest = level_of(last - window.begin, size);
    double shares = 0;
    for (int64_t level = lowest; level <= highest; ++level) {
      const int64_t from = window.begin + level * size / levels_;
      const int64_t to = window.begin + (level + 1) * size / levels_;
      const double sum = between(sums_, from, to);
      if (sum == 0) continue;
      const double weight = sum + (level == lowest ? below : 0) + (level == highest ? above : 0);
      shares += weight * std::log(sum / between(filled_, from, to));
    }
    return (reference - shares) / total_ + std::log(inside / total_);
  }

 private:
  static double plogp(double count) { return count > 0 ? count * std::log(count) : 0; }
  double count(int64_t bin) const { return static_cast<double>(counts_[bin]); }
  // The level l for which l * size / levels <= bin < (l + 1) * size / levels, both rounded down.
  int64_t level_of(int64_t bin, int64_t size) const { return ((bin + 1) * levels_ - 1) / size; }
  static double between(const std::vector<double>& running, int64_t from, int64_t to) {
    return running[to] - running[from];
  }

  std::vector<int64_t> counts_;
  int64_t levels_;
  double total_;
  std::vector<double> sums_, filled_, logs_;           // over the bins before each edge
  std::vector<int64_t> filled_before_, filled_after_;  // the bin nearest to each edge that is not empty
};

int64_t bin_of(const Histogram& histogram, float x) {
  return Histogram::kMiddle + static_cast<int64_t>(std::floor(x / histogram.width()));
}

// What a quantizer covers whose range ends at `limit` bins from 0.
Window window_of(const Histogram& histogram, const QuantGrid& grid, int64_t limit) {
  if (grid.symmetric) return {Histogram::kMiddle - limit, Histogram::kMiddle + limit};
  const int64_t first = histogram.min() < 0 ? bin_of(histogram, histogram.min()) : Histogram::kMiddle;
  const int64_t last = histogram.max() > 0 ? bin_of(histogram, histogram.max()) : Histogram::kMiddle - 1;
  return {std::max(Histogram::kMiddle - limit, first), std::min(Histogram::kMiddle + limit, last + 1)};
}

}  // namespace

ValueRange entropy_range(const ValueStatistics& statistics, const QuantGrid& grid, const CalibratorOptions&) {
  const Histogram& histogram = statistics.histogram;
  const ValueRange& seen = statistics.seen;
  const Divergence divergence(histogram, grid.levels());
  double best = std::numeric_limits<double>::infinity();
  const double farthest = std::max(-seen.min, seen.max);
  const int64_t widest = std::min(Histogram::kMiddle, static_cast<int64_t>(farthest / histogram.width()) + 1);
  int64_t best_limit = widest;
  // From wide to narrow, so that of equal ones the widest wins.
  for (int64_t limit = widest; limit > 0; --limit) {
    const Window window = window_of(histogram, grid, limit);
    if (window.end - window.begin < grid.levels()) break;
    const double value = divergence.of(window);
    if (value < best) {
      best = value;
      best_limit = limit;
    }
  }
  const double limit = static_cast<double>(best_limit) * histogram.width();
  const double high = std::min(seen.max, limit);
  return {std::min(high, std::max(seen.min, -limit)), high};
}

}  // namespace mc
