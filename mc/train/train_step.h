// One optimization step in two halves, so that the loop can look at the loss between them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/data/dataset.h"
#include "mc/train/loss.h"
#include "mc/train/method.h"
#include "mc/train/optimizer.h"
#include "mc/train/trainer.h"

namespace mc {

class TrainStep {
 public:
  // Made after the methods' begin(): what they want to see is settled then. `data` is what is trained on.
  TrainStep(Optimizer& optimizer, const std::vector<std::shared_ptr<Method>>& methods,
            const TrainOptions& options, const Dataset& data);

  // Forward and loss, with the methods' part in both. Fills in context.outputs (float32 where they are
  // of lower precision) and context.taps. Throws Error when a label is beyond the output's classes
  // (check_labels), or nothing in the loss can be trained.
  at::Tensor forward(StepContext& context);

  // Backward, clipping, the optimizer's step at context.lr, masks; then the gradients are gone.
  void update(StepContext& context, const at::Tensor& loss);

 private:
  void run_module(StepContext& context);

  Optimizer& optimizer_;
  const std::vector<std::shared_ptr<Method>>& methods_;
  const TrainOptions& options_;
  const Dataset& data_;
  bool labels_checked_ = false;
  LossFunction loss_;
  std::vector<std::string> wanted_;
};

}  // namespace mc
