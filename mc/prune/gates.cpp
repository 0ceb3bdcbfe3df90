#include "mc/prune/gates.h"

#include <cmath>

#include <ATen/ATen.h>

namespace mc {
namespace {

class L0Gate : public GateKind {
 public:
  double initial() const override { return std::log(0.95 / 0.05); }
  at::Tensor training(const at::Tensor& number, const at::Tensor& u) const override {
    return distribution_.sample(number, u);
  }
  at::Tensor settled(const at::Tensor& number) const override { return distribution_.settled(number); }
  at::Tensor price(const at::Tensor& number) const override { return distribution_.open(number); }

 private:
  HardConcrete distribution_;
};

class SoftMovementGate : public GateKind {
 public:
  explicit SoftMovementGate(double threshold) : threshold_(threshold) {}
  double initial() const override { return 0; }
  at::Tensor training(const at::Tensor& number, const at::Tensor&) const override {
    return settled(number.detach()) + (number - number.detach());
  }
  at::Tensor settled(const at::Tensor& number) const override {
    return number.sigmoid().gt(threshold_).to(number.scalar_type());
  }
  at::Tensor price(const at::Tensor& number) const override { return number.sigmoid(); }

 private:
  double threshold_;
};

}  // namespace

at::Tensor HardConcrete::sample(const at::Tensor& log_alpha, const at::Tensor& u) const {
  const at::Tensor noise = u.log() - (1 - u).log();
  const at::Tensor s = ((noise + log_alpha) / beta).sigmoid();
  return (s * (zeta - gamma) + gamma).clamp(0, 1);
}

at::Tensor HardConcrete::settled(const at::Tensor& log_alpha) const {
  return (log_alpha.sigmoid() * (zeta - gamma) + gamma).clamp(0, 1);
}

at::Tensor HardConcrete::open(const at::Tensor& log_alpha) const {
  return (log_alpha - beta * std::log(-gamma / zeta)).sigmoid();
}

std::unique_ptr<GateKind> make_l0_gate() {
  return std::make_unique<L0Gate>();
}

std::unique_ptr<GateKind> make_soft_movement_gate(double threshold) {
  return std::make_unique<SoftMovementGate>(threshold);
}

}  // namespace mc
