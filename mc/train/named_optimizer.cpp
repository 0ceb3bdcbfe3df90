#include "mc/train/named_optimizer.h"

#include <set>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

// The fused kernels walk raw memory, so that gradients and moments must lie as their parameter does. Strides
// along axes of one element may differ without a difference in memory.
at::Tensor laid_out_like(const at::Tensor& tensor, const at::Tensor& value) {
  if (tensor.strides() == value.strides()) return tensor;
  bool same_memory = true;
  for (int64_t axis = 0; axis < value.dim(); ++axis) {
    same_memory &= value.size(axis) == 1 || tensor.stride(axis) == value.stride(axis);
  }
  if (same_memory) return tensor.as_strided(value.sizes(), value.strides());
  return at::empty_like(value.detach()).copy_(tensor);
}

}  // namespace

NamedOptimizer::NamedOptimizer(GraphModule& module, bool decay_norm_and_bias, std::vector<StateKind> kinds)
    : module_(module), decay_norm_and_bias_(decay_norm_and_bias), kinds_(std::move(kinds)) {
  module_.attach(this);
}

NamedOptimizer::~NamedOptimizer() {
  module_.detach(this);
}

void NamedOptimizer::refresh() {
  if (!std::exchange(stale_, false)) return;
  parameters_.clear();
  for (const std::string& name : module_.names(Role::kWeight)) {
    parameters_.push_back({name, module_.tensor(name)});
  }
}

void NamedOptimizer::step(double lr) {
  at::NoGradGuard no_grad;
  for (Group& group : groups()) {
    update(group, lr);
    // Unlike other in-place kernels, the fused ones leave the version counters alone, by which a module
    // knows that what it derived from a parameter is out of date.
    for (at::Tensor& value : group.values) value.unsafeGetTensorImpl()->bump_version();
  }
}

void NamedOptimizer::zero_grad() {
  refresh();
  for (Parameter& parameter : parameters_) parameter.value.mutable_grad().reset();
}

std::vector<NamedOptimizer::Group> NamedOptimizer::groups() {
  refresh();
  std::map<std::pair<at::ScalarType, bool>, Group> groups;
  for (const Parameter& parameter : parameters_) {
    const at::Tensor& gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    bool decays = parameter.value.dim() > 1 || decay_norm_and_bias_;
    Group& group = groups[{parameter.value.scalar_type(), decays}];
    group.decays = decays;
    group.values.push_back(parameter.value);
    group.gradients.push_back(laid_out_like(gradient, parameter.value));
    State& state = state_of(parameter);
    group.state.resize(kinds_.size());
    for (size_t kind = 0; kind < kinds_.size(); ++kind) group.state[kind].push_back(state[kind]);
  }
  std::vector<Group> result;
  result.reserve(groups.size());
  for (auto& [key, group] : groups) result.push_back(std::move(group));
  return result;
}

NamedOptimizer::State& NamedOptimizer::state_of(const Parameter& parameter) {
  State& state = states_[parameter.name];
  if (!state.empty()) return state;
  for (const StateKind& kind : kinds_) {
    state.push_back(kind.shaped ? at::zeros_like(parameter.value)
                                : at::zeros({}, parameter.value.options().dtype(at::kFloat)));
  }
  return state;
}

std::map<std::string, at::Tensor> NamedOptimizer::save() const {
  std::map<std::string, at::Tensor> saved;
  for (const auto& [name, state] : states_) {
    for (size_t kind = 0; kind < state.size(); ++kind) saved[kinds_[kind].name + "/" + name] = state[kind];
  }
  return saved;
}

void NamedOptimizer::load(const std::map<std::string, at::Tensor>& saved) {
  at::NoGradGuard no_grad;
  stale_ = true;
  refresh();
  std::map<std::string, State> loaded;
  std::set<std::string> expected;
  for (const Parameter& parameter : parameters_) {
    State state;
    for (const StateKind& kind : kinds_) {
      std::string key = kind.name + "/" + parameter.name;
      expected.insert(key);
      auto found = saved.find(key);
      if (found == saved.end()) continue;
      auto shape = kind.shaped ? parameter.value.sizes() : at::IntArrayRef();
      MC_CHECK(found->second.sizes() == shape, "optimizer state '{}' has shape {}, its parameter needs {}",
               key, fmt::join(found->second.sizes(), "x"), fmt::join(shape, "x"));
      at::Tensor mine = kind.shaped ? at::empty_like(parameter.value)
                                    : at::empty({}, parameter.value.options().dtype(at::kFloat));
      state.push_back(mine.copy_(found->second).detach());
    }
    MC_CHECK(state.empty() || state.size() == kinds_.size(), "the optimizer state of '{}' is incomplete",
             parameter.name);
    if (!state.empty()) loaded[parameter.name] = std::move(state);
  }
  for (const auto& [key, tensor] : saved) {
    MC_CHECK(expected.contains(key), "optimizer state '{}' fits no parameter of this module and optimizer{}",
             key, did_you_mean(key, {expected.begin(), expected.end()}));
  }
  states_ = std::move(loaded);
}

void NamedOptimizer::on_edit(const EditReport& report) {
  stale_ = true;
  std::map<std::string, State> before = std::exchange(states_, {});
  std::set<std::string> gone(report.removed.begin(), report.removed.end());
  gone.insert(report.reset.begin(), report.reset.end());
  gone.insert(report.added.begin(), report.added.end());
  for (const auto& [name, old_name] : report.renamed) {
    if (auto found = before.find(old_name); found != before.end()) states_[name] = found->second;
    gone.insert(old_name);
  }
  for (auto& [name, state] : before) {
    if (!gone.contains(name)) states_[name] = std::move(state);
  }
  for (const auto& [name, slices] : report.sliced) {
    auto found = states_.find(name);
    if (found == states_.end()) continue;
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      if (!kinds_[kind].shaped) continue;
      found->second[kind] = laid_out_like(apply_slices(found->second[kind], slices), module_.tensor(name));
    }
  }
}

}  // namespace mc
