#include "mc/data/labels.h"

#include <vector>

#include <ATen/ATen.h>

#include "mc/base/error.h"

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

}  // namespace

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
