// Labels must be classes that the model knows.
#pragma once

#include <cstdint>

#include "mc/data/dataset.h"

namespace mc {

// Throws Error that names the first sample whose label is not below `classes`, what a model's output tells
// apart, and that label. Data of fewer classes, and data without class labels, costs nothing.
void check_labels(const Dataset& data, int64_t classes);

}  // namespace mc
