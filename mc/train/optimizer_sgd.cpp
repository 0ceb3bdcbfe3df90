#include <ATen/ATen.h>

#include "mc/train/named_optimizer.h"
#include "mc/train/optimizers.h"

namespace mc {

void sgd_multi_tensor(const std::vector<at::Tensor>& values, std::vector<at::Tensor> gradients,
                      const std::vector<at::Tensor>& momenta, double weight_decay, double momentum,
                      bool nesterov, double lr) {
  if (weight_decay != 0) gradients = at::_foreach_add(gradients, values, weight_decay);
  if (!momenta.empty()) {
    at::_foreach_mul_(momenta, momentum);
    at::_foreach_add_(momenta, gradients);
    gradients = nesterov ? at::_foreach_add(gradients, momenta, momentum) : momenta;
  }
  at::_foreach_add_(values, gradients, -lr);
}

namespace {

class Sgd : public NamedOptimizer {
 public:
  Sgd(const SgdOptions& options, GraphModule& module)
      : NamedOptimizer(
            module, options.decay_norm_and_bias,
            options.momentum > 0 ? std::vector<StateKind>{{"momentum"}} : std::vector<StateKind>{}),
        options_(options) {}

 private:
  void update(Group& group, double lr) override {
    static const std::vector<at::Tensor> kNone;
    const auto& momenta = group.state.empty() ? kNone : group.state[0];
    double weight_decay = group.decays ? options_.weight_decay : 0;
    // Momentum starts at zero, so that the first step needs no case of its own.
    bool nesterov = options_.nesterov && options_.momentum > 0;
    if (has_fused_kernels(group.values[0].device())) {
      at::_fused_sgd_(group.values, group.gradients, momenta, weight_decay, options_.momentum, lr,
                      /*dampening=*/0, nesterov, /*maximize=*/false, /*is_first_step=*/false);
    } else {
      sgd_multi_tensor(group.values, group.gradients, momenta, weight_decay, options_.momentum, nesterov, lr);
    }
  }

  SgdOptions options_;
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const SgdOptions& options, GraphModule& module) {
  return std::make_unique<Sgd>(options, module);
}

}  // namespace mc
