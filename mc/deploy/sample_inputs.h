// Inputs to time a model with.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/data/dataset.h"
#include "mc/deploy/engine.h"

namespace mc {

// `batch` samples for a model's inputs: from `data` (by the inputs' names, or in order where the names
// differ; samples repeat when there are too few), or random of the declared types when it is null: normal
// floats, integers and booleans of 0 and 1. Throws Error when the model's batch is fixed to another number,
// or a dimension is not known and there is no data.
std::vector<at::Tensor> sample_inputs(const std::vector<PortInfo>& ports, const Dataset* data, int64_t batch);

}  // namespace mc
