#include "mc/quantize/calibrators.h"

namespace mc {

ValueRange min_max_range(const ValueStatistics& statistics, const QuantGrid&, const CalibratorOptions&) {
  return statistics.seen;
}

}  // namespace mc
