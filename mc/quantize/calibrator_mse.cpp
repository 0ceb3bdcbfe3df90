#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "mc/ops/fake_quantize.h"
#include "mc/quantize/calibrators.h"

namespace mc {
namespace {

// Rounds to the nearest, for numbers far within 64 bits; which way a tie goes does not matter to an integral.
double nearest_whole(double x) {
  return static_cast<double>(static_cast<int64_t>(x + (x < 0 ? -0.5 : 0.5)));
}

// The grid with its scale: levels k * scale for whole k from `lowest` to `highest`.
struct Levels {
  Levels(const QuantGrid& grid, const ValueRange& range) {
    const auto [s, z] =
        choose_qparams(at::scalar_tensor(range.min, at::kFloat), at::scalar_tensor(range.max, at::kFloat),
                       grid.quant_min, grid.quant_max, grid.symmetric);
    scale = s.item<float>();
    lowest = static_cast<double>(grid.quant_min - z.item<int32_t>());
    highest = static_cast<double>(grid.quant_max - z.item<int32_t>());
  }

  double level(double x) const { return nearest_whole(std::clamp(x / scale, lowest, highest)); }

  // The integral of the squared error from 0 to x. Every level that was crossed gave scale^3 / 12, half of it
  // on either side; the rest is a cubic, within the last level or beyond the end of the grid.
  double integral(double x) const {
    const double k = level(x);
    const double rest = x - k * scale;
    return k * scale * scale * scale / 12 + rest * rest * rest / 3;
  }

  double squared_error(double x) const {
    const double rest = x - level(x) * scale;
    return rest * rest;
  }

  double scale, lowest, highest;
};

class ErrorOfRange {
 public:
  ErrorOfRange(const Histogram& histogram, const QuantGrid& grid) : histogram_(histogram), grid_(grid) {
    std::vector<int64_t> counts = histogram.counts();
    counts[Histogram::kMiddle] -= histogram.zeros();  // every grid holds 0 exactly
    for (int64_t bin = 0; bin < Histogram::kBins; ++bin) {
      if (counts[bin] == 0) continue;
      const double from = std::max(histogram.edge(bin), static_cast<double>(histogram.min()));
      const double to = std::min(histogram.edge(bin + 1), static_cast<double>(histogram.max()));
      bins_.push_back({from, to, static_cast<double>(counts[bin])});
    }
  }

  // Summed over all elements.
  double operator()(const ValueRange& range) const {
    const Levels levels(grid_, range);
    double sum = 0;
    for (const Bin& bin : bins_) {
      const double width = bin.to - bin.from;
      // So narrow a bin (all its elements are one number, it may be) that the difference would cancel.
      const bool point = width < 1e-3 * levels.scale;
      const double mean = point ? levels.squared_error((bin.from + bin.to) / 2)
                                : (levels.integral(bin.to) - levels.integral(bin.from)) / width;
      sum += bin.count * mean;
    }
    return sum;
  }

  double mean(const ValueRange& range) const {
    return (*this)(range) / static_cast<double>(std::max<int64_t>(histogram_.count(), 1));
  }

 private:
  struct Bin {
    double from, to, count;
  };

  const Histogram& histogram_;
  const QuantGrid& grid_;
  std::vector<Bin> bins_;  // those that are not empty
};

// The best of `make(part)` for parts of (0, 1]: a coarse search and two finer ones around the best so far.
template <class Make>
ValueRange search(const ErrorOfRange& error, ValueRange best, const Make& make) {
  constexpr int kSteps = 24;
  double least = error(best), middle = 0.5, reach = 0.5;
  for (int round = 0; round < 3; ++round) {
    const double from = middle - reach;
    for (int step = kSteps; step > 0; --step) {
      const double part = from + 2 * reach * step / kSteps;
      if (part <= 0 || part > 1) continue;
      const ValueRange range = make(part);
      const double now = error(range);
      if (now < least) {
        least = now;
        best = range;
        middle = part;
      }
    }
    reach *= 2.0 / kSteps;
  }
  return best;
}

}  // namespace

double expected_squared_error(const Histogram& histogram, const QuantGrid& grid, const ValueRange& range) {
  return ErrorOfRange(histogram, grid).mean(range);
}

ValueRange mse_range(const ValueStatistics& statistics, const QuantGrid& grid, const CalibratorOptions&) {
  const ValueRange& seen = statistics.seen;
  const ErrorOfRange error(statistics.histogram, grid);
  const double farthest = std::max(-seen.min, seen.max);
  // Both ends at the same distance from 0 first; then each alone, where there are two.
  ValueRange best = search(error, seen, [&](double part) {
    const double high = std::min(seen.max, part * farthest);
    return ValueRange{std::min(high, std::max(seen.min, -part * farthest)), high};
  });
  if (grid.symmetric || seen.min >= 0 || seen.max <= 0) return best;
  for (int round = 0; round < 2; ++round) {
    best = search(error, best, [&](double part) { return ValueRange{part * seen.min, best.max}; });
    best = search(error, best, [&](double part) { return ValueRange{best.min, part * seen.max}; });
  }
  return best;
}

}  // namespace mc
