#include "mc/train/train_step.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/data/labels.h"
#include "mc/train/autocast.h"
#include "mc/train/gradient_clip.h"

namespace mc {
namespace {

at::Tensor widened(const at::Tensor& output) {
  bool narrow = output.scalar_type() == at::kBFloat16 || output.scalar_type() == at::kHalf;
  return narrow ? output.to(at::kFloat) : output;
}

}  // namespace

TrainStep::TrainStep(Optimizer& optimizer, const std::vector<std::shared_ptr<Method>>& methods,
                     const TrainOptions& options, const Dataset& data)
    : optimizer_(optimizer),
      methods_(methods),
      options_(options),
      data_(data),
      loss_(find_loss(options.loss).make({.label_smoothing = options.label_smoothing})) {
  for (const auto& method : methods) {
    for (std::string& tap : method->wanted_taps()) {
      if (std::find(wanted_.begin(), wanted_.end(), tap) == wanted_.end()) wanted_.push_back(std::move(tap));
    }
  }
}

void TrainStep::run_module(StepContext& context) {
  if (wanted_.empty()) {
    context.outputs = context.module.forward(context.batch.inputs);
  } else {
    auto tapped = context.module.forward_tapped(context.batch.inputs, wanted_);
    context.outputs = std::move(tapped.outputs);
    for (size_t i = 0; i < wanted_.size(); ++i) context.taps[wanted_[i]] = std::move(tapped.values[i]);
  }
  for (at::Tensor& output : context.outputs) output = widened(output);
}

at::Tensor TrainStep::forward(StepContext& context) {
  AutocastGuard autocast(context.module.device(), options_.precision == "bf16");
  for (const auto& method : methods_) method->before_forward(context);
  run_module(context);
  MC_CHECK(!context.outputs.empty(), "the model has no output to compute a loss of");
  const at::Tensor& output = context.outputs[0];
  // ATen sees this only in the values of the labels, and on a GPU not before everything is lost.
  if (!std::exchange(labels_checked_, true) && options_.loss == "cross_entropy" && output.dim() >= 2) {
    check_labels(data_, output.size(1));
  }
  at::Tensor loss = loss_(output, context.batch.labels);
  for (const auto& method : methods_) loss = method->loss(context, std::move(loss));
  MC_CHECK(loss.defined() && loss.dim() == 0, "the loss of a step must be a scalar");
  MC_CHECK(
      loss.requires_grad(),
      "nothing can be trained: the loss depends on no parameter of the model. With loss: none a method must "
      "give one");
  return loss;
}

void TrainStep::update(StepContext& context, const at::Tensor& loss) {
  loss.backward();
  for (const auto& method : methods_) method->after_backward(context);
  if (options_.gradient_clip > 0) clip_gradients(context.module.parameters(), options_.gradient_clip);
  optimizer_.step(context.lr);
  for (const auto& method : methods_) method->after_update(context);
  // Masks outlive the stage that made them, so that they hold whether or not a method looks after them.
  context.module.apply_masks();
  for (const auto& method : methods_) method->after_step(context);
  if (context.restart_optimizer) optimizer_.load({});
  optimizer_.zero_grad();
}

}  // namespace mc
