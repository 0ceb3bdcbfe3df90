// Training curves out of the lines of metrics.jsonl.
#pragma once

#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/report/chart.h"

namespace mc {

struct TrainingCurves {
  LineChart loss;
  LineChart metric;
};

// All stages one behind another along the steps of the whole run, each a band. Many steps become few points:
// means of equal stretches, with the spread between their smallest and largest. `metric` names what the ends
// of epochs measure.
TrainingCurves training_curves(const std::vector<Json>& metrics, const std::string& metric);

}  // namespace mc
