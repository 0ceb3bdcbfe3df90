#include <cmath>

#include <ATen/ATen.h>

#include "mc/train/named_optimizer.h"
#include "mc/train/optimizers.h"

namespace mc {

void adam_multi_tensor(const std::vector<at::Tensor>& values, std::vector<at::Tensor> gradients,
                       const std::vector<at::Tensor>& first, const std::vector<at::Tensor>& second,
                       const std::vector<at::Tensor>& counts, const AdamWOptions& options,
                       double weight_decay, Decay decay, double lr) {
  if (decay == Decay::kDecoupled) {
    at::_foreach_mul_(values, 1 - lr * weight_decay);
  } else if (weight_decay != 0) {
    gradients = at::_foreach_add(gradients, values, weight_decay);
  }
  at::_foreach_mul_(first, options.beta1);
  at::_foreach_add_(first, gradients, 1 - options.beta1);
  at::_foreach_mul_(second, options.beta2);
  at::_foreach_addcmul_(second, gradients, gradients, 1 - options.beta2);
  std::vector<at::Scalar> steps, roots;  // bias corrections
  for (const at::Tensor& count : counts) {
    double t = count.item<double>();
    steps.emplace_back(-lr / (1 - std::pow(options.beta1, t)));
    roots.emplace_back(std::sqrt(1 - std::pow(options.beta2, t)));
  }
  std::vector<at::Tensor> denominators = at::_foreach_sqrt(second);
  at::_foreach_div_(denominators, roots);
  at::_foreach_add_(denominators, options.eps);
  at::_foreach_addcdiv_(values, first, denominators, steps);
}

namespace {

class Adam : public NamedOptimizer {
 public:
  Adam(const AdamWOptions& options, Decay decay, GraphModule& module)
      : NamedOptimizer(module, options.decay_norm_and_bias,
                       {{"first_moment"}, {"second_moment"}, {"steps", /*shaped=*/false}}),
        options_(options),
        decay_(decay) {}

 private:
  void update(Group& group, double lr) override {
    const auto &first = group.state[0], &second = group.state[1], &counts = group.state[2];
    at::_foreach_add_(counts, 1);
    double weight_decay = group.decays ? options_.weight_decay : 0;
    if (!has_fused_kernels(group.values[0].device())) {
      adam_multi_tensor(group.values, group.gradients, first, second, counts, options_, weight_decay, decay_,
                        lr);
      return;
    }
    auto fused = [&](auto kernel) {
      kernel(group.values, group.gradients, first, second, /*max_exp_avg_sqs=*/at::TensorList(), counts, lr,
             options_.beta1, options_.beta2, weight_decay, options_.eps, /*amsgrad=*/false,
             /*maximize=*/false);
    };
    if (decay_ == Decay::kDecoupled) {
      fused([](auto&&... args) { at::_fused_adamw_(args...); });
    } else {
      fused([](auto&&... args) { at::_fused_adam_(args...); });
    }
  }

  AdamWOptions options_;
  Decay decay_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adam(const AdamWOptions& options, Decay decay, GraphModule& module) {
  return std::make_unique<Adam>(options, decay, module);
}

}  // namespace mc
