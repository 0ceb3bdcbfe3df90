#include "mc/prune/synflow.h"

#include <map>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "mc/base/error.h"
#include "mc/module/mode_guard.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

// Weights and statistics in magnitude for a while.
class Magnitudes {
 public:
  explicit Magnitudes(const GraphModule& module) {
    const at::NoGradGuard no_grad;
    for (const Role role : {Role::kWeight, Role::kStatistic}) {
      for (const std::string& name : module.names(role)) {
        const at::Tensor tensor = module.tensor(name).detach();
        if (!tensor.is_floating_point()) continue;
        saved_.emplace_back(tensor, tensor.clone());
        tensor.abs_();
      }
    }
  }
  ~Magnitudes() {
    const at::NoGradGuard no_grad;
    for (auto& [tensor, copy] : saved_) tensor.copy_(copy);
  }
  Magnitudes(const Magnitudes&) = delete;
  Magnitudes& operator=(const Magnitudes&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;
};

}  // namespace

std::vector<at::Tensor> synaptic_flow(GraphModule& module, const std::vector<std::string>& weights,
                                      const std::vector<at::Tensor>& inputs) {
  const ModeGuard mode(module, /*training=*/false);
  const Magnitudes magnitudes(module);
  const at::AutoGradMode enable(true);
  std::vector<at::Tensor> tensors;
  for (const std::string& name : weights) tensors.push_back(module.tensor(name));
  at::Tensor flow;
  for (const at::Tensor& output : module.forward(inputs)) {
    if (!output.is_floating_point()) continue;
    const at::Tensor sum = output.sum();
    flow = flow.defined() ? flow + sum : sum;
  }
  MC_CHECK(flow.defined() && flow.requires_grad(), "synflow: no output depends on the weights");
  const auto gradients = torch::autograd::grad({flow}, tensors, {}, false, false, /*allow_unused=*/true);
  std::vector<at::Tensor> scores;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor weight = tensors[i].detach();
    scores.push_back(gradients[i].defined() ? (gradients[i] * weight).abs() : at::zeros_like(weight));
    MC_CHECK(at::isfinite(scores[i].sum()).item<bool>(),
             "synflow: the flow through '{}' is NaN or infinite: too deep without normalization, or the "
             "weights are",
             weights[i]);
  }
  return scores;
}

std::vector<at::Tensor> ones_for(const GraphModule& module, const std::vector<at::Tensor>& example) {
  std::vector<at::Tensor> inputs;
  for (const std::string& name : module.input_names()) {
    const auto type = module.structure().graph.type_of(name);
    MC_CHECK(type && type->is_tensor() && type->shape, "synflow: input '{}' is no tensor of known rank",
             name);
    std::vector<int64_t> sizes;
    for (size_t axis = 0; axis < type->shape->size(); ++axis) {
      int64_t size = (*type->shape)[axis].value;
      if (size < 0 && axis == 0) size = 1;
      if (size < 0 && inputs.size() < example.size() &&
          example[inputs.size()].dim() == static_cast<int64_t>(type->shape->size())) {
        size = example[inputs.size()].size(static_cast<int64_t>(axis));
      }
      MC_CHECK(size >= 0, "synflow: dimension {} of input '{}' is open; samples would tell it", axis, name);
      sizes.push_back(size);
    }
    inputs.push_back(at::ones(sizes, at::device(module.device()).dtype(to_scalar_type(type->dtype))));
  }
  return inputs;
}

}  // namespace mc
