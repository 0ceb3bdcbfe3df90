#include <algorithm>
#include <cmath>

#include "mc/report/chart.h"

namespace mc {

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(high > low)) high = low + std::max(1e-12, std::abs(low) * 0.1 + 1e-3);
  const double rough = (high - low) / std::max(1, count);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9);
  const double last = std::ceil(high / step - 1e-9);
  for (double i = first; i <= last && ticks.size() < 100; ++i) ticks.push_back(i * step);
  return ticks;
}

}  // namespace mc
