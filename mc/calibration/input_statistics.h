// What the inputs of layers look like on real samples, for methods that weigh errors by them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/calibration/samples.h"
#include "mc/module/graph_module.h"

namespace mc {

// How a value becomes the rows that a layer's weight multiplies: float [rows, inner], or [groups, rows,
// inner] with a Hessian for each group.
struct InputView {
  std::string value;
  int64_t inner = 0;
  int64_t groups = 0;  // 0: there is no such axis
  std::function<at::Tensor(const at::Tensor&)> rows;
};

// Rows of the last axis, which must have `inner` elements.
InputView last_axis(const std::string& value, int64_t inner);

// What calibration gathers of the rows x that a layer multiplies; one of each for every group, if there are
// groups.
struct InputStatistics {
  at::Tensor hessian;    // double [inner, inner], 2 / rows * sum of x^T x; undefined where not asked for
  at::Tensor magnitude;  // double [inner], mean of |x|
  int64_t rows = 0;
  at::Tensor square = {};  // double [inner], mean of x^2
  at::Tensor mean = {};    // double [inner]
};

struct InputOptions {
  bool hessians = true;
  int64_t bytes = int64_t{2} << 30;  // of Hessians, gathered in one pass
};

struct CollectedInputs {
  std::map<std::string, InputStatistics> values;  // by the views' keys
  int64_t samples = 0;
};

// Runs the module, as in eval(), over the samples and gathers the statistics of each view. As many at once as
// `bytes` hold (at least one), in as many passes as that takes. Throws Error: no samples, a value that holds
// NaN or infinity or no element, kInterrupted.
CollectedInputs collect_inputs(GraphModule& module, const std::map<std::string, InputView>& views,
                               const Samples& samples, const InputOptions& options = {});

}  // namespace mc
