// Labels: classes or numbers, and whether a model knows them.
#pragma once

#include <cstdint>

#include "mc/data/dataset.h"

namespace mc {

// Labels as a batch has them: whole numbers from 0 become int64 classes, floats become float32 for
// regression. Throws Error for labels below 0 or beyond 2^31 - 1.
at::Tensor as_labels(const at::Tensor& labels);

// How many classes labels made by as_labels() tell apart; 0 for floats, or where there are none.
int64_t count_classes(const at::Tensor& labels);

// Throws Error that names the first sample whose label is not below `classes`, what a model's output tells
// apart, and that label. Data of fewer classes, and data without class labels, costs nothing.
void check_labels(const Dataset& data, int64_t classes);

}  // namespace mc
