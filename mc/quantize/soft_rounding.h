// One weight whose rounding is being learned: its level is floor(w / s) + h(V), clipped to the quantizer's.
#pragma once

#include <ATen/core/Tensor.h>

#include "mc/quantize/weight_quantizer.h"

namespace mc {

class SoftRounding {
 public:
  // Starts at the float weight: h(V) = w / s - floor(w / s). Weights of exactly 0 (pruned ones) stay there.
  SoftRounding(const WeightQuantizer& quantizer, at::Device device);

  // The weight now: with h(V), with h rounded, and with every level rounded to nearest, each of the shape and
  // memory format of the float weight.
  at::Tensor soft() const;
  at::Tensor hard() const;
  at::Tensor nearest() const { return nearest_; }

  // One step of Adam (Kingma and Ba, ICLR 2015) on V. `by_weight` is the gradient of the loss by soft().
  void step(const at::Tensor& by_weight, double learning_rate, double strength, double beta);

  int64_t movable() const { return movable_; }  // elements whose rounding is free

 private:
  at::Tensor base_;  // the weight with every level rounded down
  at::Tensor gain_;  // what h = 1 adds to it: the scale, or 0 where the level cannot move
  at::Tensor nearest_;
  at::Tensor v_;
  at::Tensor mean_, square_;  // Adam's moments
  int64_t movable_ = 0;
  int64_t steps_ = 0;
};

}  // namespace mc
