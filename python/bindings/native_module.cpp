#include "bindings/native_module.h"

#include <mutex>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <c10/core/InferenceMode.h>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

ModuleOptions module_options(at::Device device, const RoleNames& roles) {
  ModuleOptions options;
  options.device = device;
  std::vector<std::string> names;
  for (const Role role : {Role::kConstant, Role::kWeight, Role::kStatistic, Role::kState, Role::kMask})
    names.emplace_back(role_name(role));
  for (const auto& [initializer, name] : roles) {
    size_t i = 0;
    while (i < names.size() && names[i] != name) ++i;
    MC_CHECK(i < names.size(), "'{}' cannot be a '{}'; roles are {}", initializer, name, join(names, ", "));
    options.roles.emplace_back(initializer, static_cast<Role>(i));
  }
  return options;
}

uint64_t draw_seed() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  return at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
}

}  // namespace

NativeModule::NativeModule(Model model, at::Device device, const RoleNames& roles) {
  MC_CHECK(device.is_cpu() || device.is_cuda(), "a model cannot be on device {}", device.str());
  MC_CHECK(device.is_cpu() || at::globalContext().hasCUDA(), "there is no CUDA device for {}", device.str());
  for_each_graph(model.graph, [&](const Graph& graph) {
    for (const Node& node : graph.nodes) {
      drops_ |= node.op_type == "Dropout";
      random_ |= node.op_type.starts_with("Random") || node.op_type == "Bernoulli" ||
                 node.op_type == "Multinomial" || !model.functions.empty();
    }
  });
  module_ = std::make_shared<GraphModule>(std::move(model), module_options(device, roles));
}

template <class Body>
auto NativeModule::run(const std::vector<at::Tensor>& inputs, bool training, Body&& body) {
  const auto check_inputs = [&] {
    const std::vector<std::string>& names = module_->input_names();
    for (size_t i = 0; i < inputs.size() && i < names.size(); ++i) {
      const at::Tensor& input = inputs[i];
      if (!input.defined()) continue;
      MC_CHECK(input.device() == module_->device(),
               "input '{}' is on {} and the model on {}; move one of them with .to()", names[i],
               input.device().str(), module_->device().str());
      MC_CHECK(input.layout() == at::kStrided && !input.is_quantized(),
               "input '{}' is sparse or quantized; the model takes dense tensors", names[i]);
    }
  };
  const bool draws = random_ || (drops_ && training);
  if (!draws) {
    const std::shared_lock lock(mutex_);
    if (module_->is_training() == training) {
      check_inputs();
      return body(*module_);
    }
  }
  const std::unique_lock lock(mutex_);
  check_inputs();
  if (module_->is_training() != training) module_->train(training);
  if (draws) module_->set_random(draw_seed(), 0);
  return body(*module_);
}

std::vector<at::Tensor> NativeModule::forward(const std::vector<at::Tensor>& inputs, bool training) {
  return run(inputs, training, [&](GraphModule& module) { return module.forward(inputs); });
}

GraphModule::Tapped NativeModule::forward_tapped(const std::vector<at::Tensor>& inputs,
                                                 const std::vector<std::string>& wanted, bool training) {
  return run(inputs, training, [&](GraphModule& module) { return module.forward_tapped(inputs, wanted); });
}

}  // namespace mc
