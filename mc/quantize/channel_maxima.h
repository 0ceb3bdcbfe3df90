// The largest magnitude in each channel of values of the float model.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/calibration/samples.h"
#include "mc/graph/graph.h"

namespace mc {

// Runs one pass through the model, as a module with the options. `wanted`: values by name, and the axis that
// counts channels (negative: from the end); kWholeValue takes them all as one. Gives double [C] for each;
// memory does not depend on the samples. Throws Error for NaN and infinity.
inline constexpr int64_t kWholeValue = INT64_MAX;
std::map<std::string, at::Tensor> channel_maxima(const Model& model,
                                                 const std::map<std::string, int64_t>& wanted,
                                                 const Samples& samples, const ModuleOptions& options = {});

}  // namespace mc
