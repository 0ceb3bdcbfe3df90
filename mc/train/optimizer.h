// SGD with momentum, Adam and AdamW over named parameters, on ATen's fused kernels where the device has
// them. State follows edits of the module by name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/options.h"
#include "mc/module/graph_module.h"

namespace mc {

struct SgdOptions {
  static constexpr const char* kName = "sgd";
  double lr = 0.1;
  double momentum = 0.9;
  double weight_decay = 5e-4;
  bool nesterov = true;
  bool decay_norm_and_bias = false;
  template <class V>
  void describe(V& v) {
    v.field("lr", lr, "peak learning rate", above(0));
    v.field("momentum", momentum, "momentum", in_half_open(0, 1));
    v.field("weight_decay", weight_decay, "L2 penalty", at_least(0));
    v.field("nesterov", nesterov, "Nesterov momentum (Sutskever et al. 2013)");
    v.field("decay_norm_and_bias", decay_norm_and_bias, "decay parameters of one dimension too");
  }
};

struct AdamWOptions {
  static constexpr const char* kName = "adamw";
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool decay_norm_and_bias = false;
  template <class V>
  void describe(V& v) {
    v.field("lr", lr, "peak learning rate", above(0));
    v.field("beta1", beta1, "decay of the first moment", in_half_open(0, 1));
    v.field("beta2", beta2, "decay of the second moment", in_half_open(0, 1));
    v.field("eps", eps, "added to the root of the second moment", above(0));
    v.field("weight_decay", weight_decay, "decoupled decay (Loshchilov and Hutter 2019)", at_least(0));
    v.field("decay_norm_and_bias", decay_norm_and_bias, "decay parameters of one dimension too");
  }
};

struct AdamOptions : AdamWOptions {  // L2 penalty in the gradient instead (Kingma and Ba 2015)
  static constexpr const char* kName = "adam";
  AdamOptions() { weight_decay = 0; }
};

using OptimizerOptions = std::variant<SgdOptions, AdamOptions, AdamWOptions>;

class Optimizer : public StateCarrier {
 public:
  virtual void step(double lr) = 0;  // applies gradients; parameters without one are left alone
  virtual void zero_grad() = 0;      // gradients to undefined
  virtual std::map<std::string, at::Tensor> save() const = 0;
  virtual void load(
      const std::map<std::string, at::Tensor>& state) = 0;  // Error on names or shapes that do not fit
};

// Over all weights of the module (attached to it for its lifetime: edits are followed).
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, GraphModule& module);
double peak_lr(const OptimizerOptions& options);

}  // namespace mc
