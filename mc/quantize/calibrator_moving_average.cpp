#include "mc/quantize/calibrators.h"

namespace mc {

ValueRange moving_average_range(const ValueStatistics& statistics, const QuantGrid&,
                                const CalibratorOptions&) {
  return statistics.average;
}

}  // namespace mc
