// What every optimizer shares: its parameters by name in groups, their state, and how it follows edits.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/train/optimizer.h"

namespace mc {

class NamedOptimizer : public Optimizer {
 public:
  // One kind of state that a parameter has: shaped like it, or a count (a float scalar).
  struct StateKind {
    std::string name;
    bool shaped = true;
  };

  NamedOptimizer(GraphModule& module, bool decay_norm_and_bias, std::vector<StateKind> kinds);
  ~NamedOptimizer() override;
  NamedOptimizer(const NamedOptimizer&) = delete;
  NamedOptimizer& operator=(const NamedOptimizer&) = delete;

  void step(double lr) final;
  void zero_grad() final;
  std::map<std::string, at::Tensor> save() const final;  // "KIND/PARAMETER"
  void load(const std::map<std::string, at::Tensor>& state) final;
  void on_edit(const EditReport& report) final;

 protected:
  // Parameters that have a gradient, of one element type and one decay, as the parallel lists that ATen's
  // multi-tensor kernels take. Gradients and state have the strides of their parameter.
  struct Group {
    bool decays = false;
    std::vector<at::Tensor> values;
    std::vector<at::Tensor> gradients;
    std::vector<std::vector<at::Tensor>> state;  // [kind][parameter]
  };

 private:
  struct Parameter {
    std::string name;
    at::Tensor value;
  };
  using State = std::vector<at::Tensor>;  // by kind

  virtual void update(Group& group, double lr) = 0;

  void refresh();
  std::vector<Group> groups();
  State& state_of(const Parameter& parameter);

  GraphModule& module_;
  bool decay_norm_and_bias_;
  std::vector<StateKind> kinds_;
  std::vector<Parameter> parameters_;
  std::map<std::string, State> states_;  // of parameters that were stepped
  bool stale_ = true;                    // the module was edited since parameters_ was read
};

// True where ATen has fused optimizer kernels; elsewhere the multi-tensor ones are used.
inline bool has_fused_kernels(at::Device device) {
  return device.is_cpu() || device.is_cuda();
}

}  // namespace mc
