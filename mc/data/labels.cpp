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

void check_labels(const Dataset& data, int64_t classes) {
  if (data.classes() <= classes) return;
  if (const RawImages* raw = data.raw_images()) return check_labels_of(data, raw->labels, 0, classes);
  // One by one, as shapes may vary.
  for (int64_t sample = 0; sample < data.size(); ++sample) {
    check_labels_of(data, data.get(std::vector<int64_t>{sample}).labels, sample, classes);
  }
}

}  // namespace mc
