// What a GraphModule consists of at one time; edit() builds a new one beside it and swaps. Internal.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/module/graph_module.h"
#include "mc/module/plan.h"

namespace mc {

struct InputSpec {
  std::string name;
  Type type;
};

struct Compiled {
  Model model;  // functions inlined, copies untied
  Roles roles;
  std::map<std::string, at::Tensor> state;  // all initializers but constants
  std::vector<InputSpec> inputs;
  std::vector<std::string> input_names;
  std::vector<std::string> output_names;
  bool channels_last = false;  // inputs too
  std::unique_ptr<Plan> plan;  // as written

  std::vector<at::Tensor> check_inputs(const std::vector<at::Tensor>& inputs, at::Device device) const;
  // Checks the plain tensors among them, and moves these to the device.
  void check_slots(std::vector<Slot>& inputs, at::Device device) const;
};

// Gives the tensor to keep for an initializer, or an undefined one to take the model's value.
using Carry = std::function<at::Tensor(const Initializer& initializer, Role role)>;

Compiled compile_model(Model model, const ModuleOptions& options, const Carry& carry = {});

// Where a piece of state lives: with the module, but for the flags of quantization, which kernels read on
// the host in every run.
at::Device state_device(Role role, at::ScalarType type, at::Device device);

// The plan anew from the state as it is now (on another device, say).
void compile_plan(Compiled& compiled, const ModuleOptions& options);
// The model with the state's values now.
Model current_model(const Compiled& compiled);
// Folded and fused for eval() without gradients, but for what would take the `visible` values away.
std::unique_ptr<Plan> inference_plan(const Compiled& compiled, const ModuleOptions& options,
                                     const std::vector<std::string>& visible = {});

// Names of all initializers, for messages.
std::vector<std::string> initializer_names(const Model& model);
std::string mask_name(const std::string& parameter);

}  // namespace mc
