// Tensors that a module takes for its own.
#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>

namespace mc {

// While it lives, GraphModules that are made on this thread hold these tensors, by initializer name, where
// they would copy the model's values: what holds them already (another module, an optimizer) goes on with
// them, and gradients go to them. Their values count, and convolution weights take the memory format that
// modules keep them in. A tensor of another shape, element type or device than the module's own, and a weight
// that is no leaf, are an Error then; names that the model lacks are passed over.
class GivenState {
 public:
  explicit GivenState(std::map<std::string, at::Tensor> tensors);
  ~GivenState();
  GivenState(const GivenState&) = delete;
  GivenState& operator=(const GivenState&) = delete;

 private:
  std::map<std::string, at::Tensor> tensors_;
  const std::map<std::string, at::Tensor>* before_;
};

// The tensor given for this name on this thread, or an undefined one.
at::Tensor given_state(const std::string& name);

}  // namespace mc
