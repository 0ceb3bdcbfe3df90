// What the inputs of layers look like on real samples, for methods that weigh errors by them.
#pragma once

#include <map>
#include <string>

#include "mc/module/graph_module.h"
#include "mc/quantize/samples.h"
#include "mc/quantize/weight_methods.h"

namespace mc {

struct CollectedInputs {
  std::map<std::string, InputStatistics> values;
  int64_t samples = 0;
};

// Runs the module, as in eval(), over the samples and gathers Hessian and magnitude of the named values,
// whose last axis has the given size. As many values at once as `bytes` hold (at least one), in as many
// passes as that takes. Throws Error: no samples, a value that holds NaN or infinity or no element,
// kInterrupted.
CollectedInputs collect_inputs(GraphModule& module, const std::map<std::string, int64_t>& widths,
                               const Samples& samples, int64_t bytes);

}  // namespace mc
