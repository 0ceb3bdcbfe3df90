// Losses by name: what a stage minimises unless its methods say otherwise.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

struct LossOptions {
  double label_smoothing = 0;  // in [0, 1); only cross_entropy knows it
};

// From output 0 and the labels (undefined when there are none) to a scalar, the mean over the batch.
// Throws Error when their shapes or types do not fit each other.
using LossFunction = std::function<at::Tensor(const at::Tensor& output, const at::Tensor& labels)>;

struct Loss {
  std::string name;
  std::string summary;
  bool needs_labels = true;
  LossFunction (*make)(const LossOptions&) = nullptr;
};

// cross_entropy: output [N,C] or [N,C,...] of logits, labels int64 [N] or [N,...]; label smoothing of
//                Szegedy et al. 2016, section 7.
// mse:           mean of squared differences; labels of the output's shape (or [N] for [N,1]).
// none:          zero; a method gives the whole loss.
const std::vector<Loss>& losses();

const Loss& find_loss(const std::string& name);  // Error with the nearest name
std::vector<std::string> loss_names();

}  // namespace mc
