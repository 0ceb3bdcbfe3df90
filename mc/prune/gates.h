// Gates that are learned with the weights they multiply: which weights a network can do without is part of
// its loss.
#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace mc {

// The hard concrete distribution (C. Louizos, M. Welling and D. Kingma, "Learning sparse neural networks
// through L0 regularization", ICLR 2018, equations 10 to 13), with the paper's constants.
struct HardConcrete {
  double beta = 2.0 / 3.0;
  double gamma = -0.1;
  double zeta = 1.1;
  // min(1, max(0, s (zeta - gamma) + gamma)) of s = sigmoid((log u - log(1 - u) + log_alpha) / beta), where u
  // is uniform in (0, 1).
  at::Tensor sample(const at::Tensor& log_alpha, const at::Tensor& u) const;
  // What takes the place of a sample once training is over.
  at::Tensor settled(const at::Tensor& log_alpha) const;
  // The probability that a gate is not 0: sigmoid(log_alpha - beta log(-gamma / zeta)).
  at::Tensor open(const at::Tensor& log_alpha) const;
};

// A kind of gate, as a function of one learned number for each weight. All are differentiable.
class GateKind {
 public:
  virtual ~GateKind() = default;
  virtual double initial() const = 0;  // of the learned number; the gate is open there
  // What the weight is multiplied by in a step of training; `u` is uniform in (0, 1).
  virtual at::Tensor training(const at::Tensor& number, const at::Tensor& u) const = 0;
  virtual at::Tensor settled(const at::Tensor& number) const = 0;  // in evaluation; 0 where closed
  virtual at::Tensor price(const at::Tensor& number) const = 0;    // what the regularizer sums
};

// A hard concrete gate that opens with a probability of 0.95 at first.
std::unique_ptr<GateKind> make_l0_gate();

// V. Sanh et al., "Movement pruning", NeurIPS 2020, section 3 and table 1, soft movement: open where the
// sigmoid of the score is above `threshold`; the score learns as if the gate were the score itself
// (straight-through), and the sum of sigmoids is the price. `threshold` is in (0, 0.5).
std::unique_ptr<GateKind> make_soft_movement_gate(double threshold);

}  // namespace mc
