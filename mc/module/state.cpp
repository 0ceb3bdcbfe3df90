#include "mc/module/state.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/impl.h"

namespace mc {
namespace {

void check_mask(const std::string& parameter, const at::Tensor& mask, const at::Tensor& value) {
  MC_CHECK(mask.scalar_type() == at::kBool, "the mask of '{}' is of type {}; it must be bool", parameter,
           at::toString(mask.scalar_type()));
  MC_CHECK(mask.sizes() == value.sizes(), "the mask of '{}' is [{}], the parameter [{}]", parameter,
           fmt::join(mask.sizes(), ","), fmt::join(value.sizes(), ","));
}

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes(), ","));
}

}  // namespace

const at::Tensor& GraphModule::Impl::find_state(const std::string& name) const {
  const auto found = compiled.state.find(name);
  if (found != compiled.state.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [other, tensor] : compiled.state) names.push_back(other);
  fail("the module has no parameter or buffer '{}'{}", name, did_you_mean(name, names));
}

at::Tensor GraphModule::tensor(const std::string& name) const {
  if (const auto found = impl_->compiled.state.find(name); found != impl_->compiled.state.end())
    return found->second;
  if (const Initializer* constant = structure().graph.initializer(name)) {
    return to_aten(constant->tensor, true).to(impl_->options.device);
  }
  fail("the module has no initializer '{}'{}", name, did_you_mean(name, initializer_names(structure())));
}

Role GraphModule::role(const std::string& name) const {
  const auto found = roles().of.find(name);
  if (found != roles().of.end()) return found->second;
  fail("the module has no initializer '{}'{}", name, did_you_mean(name, initializer_names(structure())));
}

const Roles& GraphModule::roles() const {
  return impl_->compiled.roles;
}

std::vector<std::string> GraphModule::names(Role wanted) const {
  std::vector<std::string> found;
  for (const Initializer& initializer : structure().graph.initializers()) {
    if (role(initializer.name) == wanted) found.push_back(initializer.name);
  }
  return found;
}

void GraphModule::set_mask(const std::string& parameter, at::Tensor mask, bool latent) {
  Compiled& compiled = impl_->compiled;
  const at::NoGradGuard no_grad;
  at::Tensor value = impl_->find_state(parameter);
  MC_CHECK(role(parameter) == Role::kWeight, "'{}' is a {}; only weights have masks", parameter,
           role_name(role(parameter)));
  const std::string name = mask_name(parameter);
  const bool known = compiled.state.contains(name);
  if (!mask.defined()) {
    if (!known) return;
    compiled.state.erase(name);
    compiled.roles.of.erase(name);
    compiled.model.graph.erase_initializer(name);
    register_state();
    return;
  }
  check_mask(parameter, mask, value);
  if (known) {
    compiled.state.at(name).copy_(mask);
  } else {
    MC_CHECK(!compiled.model.graph.initializer(name),
             "'{}' already is an initializer of the model, no mask can take "
             "that name",
             name);
    at::Tensor own = at::empty_like(value, value.options().dtype(at::kBool).requires_grad(false)).copy_(mask);
    Tensor constant = to_constant(own);
    set_metadata(constant.metadata, kMaskOf, parameter);
    compiled.model.graph.add_initializer(name, std::move(constant));
    compiled.state[name] = own;
    compiled.roles.of[name] = Role::kMask;
    register_state();
  }
  if (!latent) value.mul_(compiled.state.at(name));
}

at::Tensor GraphModule::mask(const std::string& parameter) const {
  impl_->find_state(parameter);
  const auto found = impl_->compiled.state.find(mask_name(parameter));
  return found == impl_->compiled.state.end() ? at::Tensor() : found->second;
}

void GraphModule::apply_masks() {
  mc::apply_masks(impl_->masked);
}

std::vector<std::string> GraphModule::masked() const {
  std::vector<std::string> found;
  for (const std::string& name : names(Role::kMask)) {
    found.push_back(*find_metadata(structure().graph.initializer(name)->tensor.metadata, kMaskOf));
  }
  return found;
}

void GraphModule::load_state(const std::map<std::string, at::Tensor>& values) {
  const auto& state = impl_->compiled.state;
  std::vector<std::string> problems;
  std::vector<std::string> new_masks;
  for (const auto& [name, tensor] : state) {
    if (!values.contains(name)) problems.push_back(fmt::format("'{}' is missing", name));
  }
  for (const auto& [name, value] : values) {
    const auto found = state.find(name);
    if (found == state.end()) {
      const std::string parameter = name.ends_with(".mask") ? name.substr(0, name.size() - 5) : "";
      if (roles().of.contains(parameter) && role(parameter) == Role::kWeight) {
        check_mask(parameter, value, state.at(parameter));
        new_masks.push_back(parameter);
      } else {
        problems.push_back(fmt::format("'{}' is not part of the module", name));
      }
    } else if (!value.defined() || value.sizes() != found->second.sizes()) {
      problems.push_back(fmt::format("'{}' is {}, the module has {}", name,
                                     value.defined() ? shape_text(value) : "undefined",
                                     shape_text(found->second)));
    }
  }
  MC_CHECK(problems.empty(), "the state does not fit the module: {}", join(problems, "; "));
  for (const std::string& parameter : new_masks) set_mask(parameter, values.at(mask_name(parameter)), true);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : state) at::Tensor(tensor).copy_(values.at(name));
}

std::map<std::string, at::Tensor> GraphModule::state() const {
  return impl_->compiled.state;
}

}  // namespace mc
