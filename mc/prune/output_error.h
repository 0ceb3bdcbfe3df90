// How far a network's outputs have moved, in the place of a loss where there are no labels.
#pragma once

#include <cstdint>
#include <vector>

#include "mc/calibration/samples.h"
#include "mc/module/graph_module.h"
#include "mc/prune/score.h"

namespace mc {

// The batches of one pass and what a module makes of them now, held. Errors are squared errors of all
// floating-point outputs over the mean squared size of those held. Throws Error where there are no samples,
// and where the outputs are all 0 or hold NaN or infinity.
class HeldOutputs {
 public:
  HeldOutputs(GraphModule& module, const Samples& samples);

  int64_t batches() const { return static_cast<int64_t>(held_.size()); }
  const std::vector<at::Tensor>& inputs(int64_t i) const { return held_.at(static_cast<size_t>(i)).inputs; }
  // Of a module with the same inputs and outputs, on batch i: a scalar with autograd.
  at::Tensor error(GraphModule& module, int64_t i) const;
  // In eval(), mean over the batches.
  double error(GraphModule& module) const;

 private:
  struct HeldBatch {
    std::vector<at::Tensor> inputs;
    at::Tensor outputs;
  };
  std::vector<HeldBatch> held_;
  double mean_ = 0;  // squared size of a batch's outputs
};

// The same as the data of a score, whose loss is the module's error against the outputs that it has now. The
// module must outlive the result. Throws Error as HeldOutputs does.
ScoreData output_error(GraphModule& module, const Samples& samples);

}  // namespace mc
