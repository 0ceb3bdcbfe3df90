// A GraphModule as Python holds it: forward runs in several threads at once, changes wait for them.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/module/graph_module.h"

namespace mc {

using RoleNames = std::vector<std::pair<std::string, std::string>>;

class NativeModule {
 public:
  NativeModule(Model model, at::Device device, const RoleNames& roles);

  // Random operators draw from torch's default generator. Throws Error for inputs on another device than the
  // module's, and as GraphModule::forward does.
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs, bool training);
  GraphModule::Tapped forward_tapped(const std::vector<at::Tensor>& inputs,
                                     const std::vector<std::string>& wanted, bool training);

  // Calls body(module) while nothing changes the module, or while nothing else uses it.
  template <class Body>
  decltype(auto) read(Body&& body) const {
    const std::shared_lock lock(mutex_);
    return body(static_cast<const GraphModule&>(*module_));
  }
  template <class Body>
  decltype(auto) change(Body&& body) {
    const std::unique_lock lock(mutex_);
    return body(*module_);
  }

 private:
  template <class Body>
  auto run(const std::vector<at::Tensor>& inputs, bool training, Body&& body);

  mutable std::shared_mutex mutex_;
  std::shared_ptr<GraphModule> module_;
  bool drops_ = false;   // has operators that are random in training
  bool random_ = false;  // has operators that are random always
};

}  // namespace mc
