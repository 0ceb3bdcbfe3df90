#include "mc/train/optimizer.h"

#include "mc/train/optimizers.h"

namespace mc {

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, GraphModule& module) {
  struct Maker {
    GraphModule& module;
    std::unique_ptr<Optimizer> operator()(const SgdOptions& sgd) const { return make_sgd(sgd, module); }
    std::unique_ptr<Optimizer> operator()(const AdamOptions& adam) const {
      return make_adam(adam, Decay::kGradient, module);
    }
    std::unique_ptr<Optimizer> operator()(const AdamWOptions& adam) const {
      return make_adam(adam, Decay::kDecoupled, module);
    }
  };
  return std::visit(Maker{module}, options);
}

double peak_lr(const OptimizerOptions& options) {
  return std::visit([](const auto& held) { return held.lr; }, options);
}

}  // namespace mc
