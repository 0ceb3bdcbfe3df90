#include "mc/train/loss.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes(), ","));
}

LossFunction make_cross_entropy(const LossOptions& options) {
  return [smoothing = options.label_smoothing](const at::Tensor& output, const at::Tensor& labels) {
    MC_CHECK(labels.scalar_type() == at::kLong,
             "cross_entropy needs class numbers as labels (int64), got {}; for real values use loss: mse",
             c10::toString(labels.scalar_type()));
    bool fits = output.dim() >= 2 && labels.dim() == output.dim() - 1 && labels.size(0) == output.size(0);
    MC_CHECK(fits && labels.sizes().slice(1) == output.sizes().slice(2),
             "cross_entropy needs logits [N,C] or [N,C,...] and labels [N] or [N,...], got {} and {}",
             shape_text(output), shape_text(labels));
    return at::cross_entropy_loss(output, labels, /*weight=*/{}, at::Reduction::Mean, /*ignore_index=*/-100,
                                  smoothing);
  };
}

LossFunction make_mse(const LossOptions&) {
  return [](const at::Tensor& output, const at::Tensor& labels) {
    at::Tensor target = labels;
    if (output.dim() == labels.dim() + 1 && output.size(-1) == 1) target = labels.unsqueeze(-1);
    // ATen would broadcast, and train towards something else.
    MC_CHECK(target.sizes() == output.sizes(), "mse needs labels of the output's shape {}, got {}",
             shape_text(output), shape_text(labels));
    return at::mse_loss(output, target.to(output.scalar_type()));
  };
}

LossFunction make_none(const LossOptions&) {
  return [](const at::Tensor& output, const at::Tensor&) { return at::zeros({}, output.options()); };
}

}  // namespace

const std::vector<Loss>& losses() {
  static const std::vector<Loss> list = {
      {"cross_entropy", "classification: logits against class numbers", true, make_cross_entropy},
      {"mse", "regression: mean of squared differences", true, make_mse},
      {"none", "nothing: a method gives the whole loss", false, make_none},
  };
  return list;
}

const Loss& find_loss(const std::string& name) {
  for (const Loss& loss : losses()) {
    if (loss.name == name) return loss;
  }
  fail("unknown loss '{}'{}; there are {}", name, did_you_mean(name, loss_names()), join(loss_names(), ", "));
}

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const Loss& loss : losses()) names.push_back(loss.name);
  return names;
}

}  // namespace mc
