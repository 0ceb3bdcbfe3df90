// Labels: classes or numbers, of the kind that a metric counts, and known to the model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

// The metric of labelled data where none is asked for: top1 of classes, mse of numbers; empty without labels.
std::string default_metric(const Dataset& data);

// What can be said before a model runs: throws Error where the data's labels are not what a metric
// (metric_names) holds against the model's first output, whose dims `output` are, -1 where they are open
// (nothing: all are). Classification takes one whole number a sample and an output [N, classes], with classes
// as check_labels has them; mse as many numbers a sample as the output has.
void check_metric(const Dataset& data, const std::string& metric,
                  const std::optional<std::vector<int64_t>>& output);

}  // namespace mc
