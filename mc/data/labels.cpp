#include "mc/data/labels.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <c10/util/accumulate.h>

#include "mc/base/error.h"
#include "mc/data/metric.h"

namespace mc {
namespace {

void check_labels_of(const Dataset& data, const at::Tensor& labels, int64_t first, int64_t classes) {
  const at::Tensor beyond = (labels >= classes).nonzero();
  if (beyond.size(0) == 0) return;
  const at::Tensor row = beyond[0];
  const int64_t sample = row[0].item<int64_t>();
  at::Tensor label = labels[sample];
  for (int64_t axis = 1; axis < row.numel(); ++axis) label = label[row[axis].item<int64_t>()];
  fail("{}: sample {} has the label {}, but the model's output tells only {} classes apart (0 to {})",
       data.description(), first + sample, label.item<int64_t>(), classes, classes - 1);
}

// "[N, 3]": the first axis counts samples.
std::string samples_of(at::IntArrayRef dims) {
  std::string text = "[N";
  for (const int64_t dim : dims.slice(1)) text += dim < 0 ? ", ?" : fmt::format(", {}", dim);
  return text + "]";
}

}  // namespace

std::string default_metric(const Dataset& data) {
  if (!data.labelled()) return "";
  return data.classes() > 0 ? "top1" : "mse";
}

void check_metric(const Dataset& data, const std::string& metric,
                  const std::optional<std::vector<int64_t>>& output) {
  if (data.size() == 0) return;
  const at::Tensor labels = data.get(std::vector<int64_t>{0}).labels;
  MC_CHECK(labels.defined(), "{} has no labels, so {} cannot be measured", data.description(), metric);
  const std::string mend = "give another metric, or data without labels";
  if (counts_classes(metric)) {
    MC_CHECK(!labels.is_floating_point() && labels.dim() == 1,
             "{} counts classes, one whole number a sample; the labels of {} are {} of shape {}: {}", metric,
             data.description(), labels.is_floating_point() ? "floats" : "whole numbers",
             samples_of(labels.sizes()), mend);
    if (!output) return;
    MC_CHECK(output->size() == 2, "{} needs an output [N, classes], the model's first has {} dims: {}",
             metric, output->size(), mend);
    if (output->at(1) >= 0) check_labels(data, output->at(1));
    return;
  }
  if (!output || output->empty()) return;
  const auto dims = at::IntArrayRef(*output).slice(1);
  if (std::ranges::any_of(dims, [](int64_t dim) { return dim < 0; })) return;
  MC_CHECK(c10::multiply_integers(dims) == labels.numel(),
           "{} needs as many labels as outputs; the labels of {} are {}, the model's first output is {}: {}",
           metric, data.description(), samples_of(labels.sizes()), samples_of(*output), mend);
}

at::Tensor as_labels(const at::Tensor& labels) {
  if (labels.is_floating_point()) return labels.to(at::kFloat);
  at::Tensor classes = labels.to(at::kLong);
  if (classes.numel() == 0) return classes;
  const auto smallest = classes.min().item<int64_t>(), largest = classes.max().item<int64_t>();
  MC_CHECK(smallest >= 0, "array 'labels': label {} is out of range, labels count from 0", smallest);
  MC_CHECK(largest <= INT32_MAX, "array 'labels': label {} is out of range, at most {} are supported",
           largest, INT32_MAX);
  return classes;
}

int64_t count_classes(const at::Tensor& labels) {
  if (!labels.defined() || labels.scalar_type() != at::kLong || labels.numel() == 0) return 0;
  return labels.max().item<int64_t>() + 1;
}

void check_labels(const Dataset& data, int64_t classes) {
  if (data.classes() <= classes) return;
  if (const RawImages* raw = data.raw_images()) return check_labels_of(data, raw->labels, 0, classes);
  // One by one, as shapes may vary.
  for (int64_t sample = 0; sample < data.size(); ++sample) {
    check_labels_of(data, data.get(std::vector<int64_t>{sample}).labels, sample, classes);
  }
}

}  // namespace mc
