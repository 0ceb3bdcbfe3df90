#include "mc/module/graph_module.h"

#include <unordered_map>
#include <unordered_set>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/module/impl.h"

namespace mc {
namespace {

std::vector<Slot> to_slots(std::vector<at::Tensor> tensors) {
  return {std::make_move_iterator(tensors.begin()), std::make_move_iterator(tensors.end())};
}

std::vector<at::Tensor> to_tensors(std::vector<Slot> slots, const std::vector<std::string>& names) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(slots.size());
  for (size_t i = 0; i < slots.size(); ++i) {
    MC_CHECK(slots[i].tensor.defined() || !slots[i].extra, "output '{}' is not a tensor", names[i]);
    tensors.push_back(std::move(slots[i].tensor));
  }
  return tensors;
}

// One line, whatever the number; roles().untied has them all with the reasons.
void report_untied(const Roles& roles) {
  if (roles.untied.empty()) return;
  std::vector<std::string> names;
  for (const auto& untied : roles.untied) {
    if (names.size() == 3) {
      names.push_back("...");
      break;
    }
    names.push_back(untied.copy);
  }
  info("{} initializers that the file shares with others of equal values are tensors of their own now: {}",
       roles.untied.size(), join(names, ", "));
}

}  // namespace

GraphModule::GraphModule(Model model, ModuleOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
  impl_->compiled = compile_model(std::move(model), impl_->options);
  report_untied(impl_->compiled.roles);
  register_state();
}

GraphModule::~GraphModule() = default;

// The base class has no way to take a buffer out, so its registry is made anew.
void GraphModule::register_state() {
  impl_->masked.clear();
  for (const std::string& parameter : masked())
    impl_->masked.push_back({impl_->find_state(parameter), mask(parameter)});
  const bool training = is_training();
  torch::nn::Module::operator=(torch::nn::Module("GraphModule"));
  std::unordered_map<std::string, torch::nn::Module*> modules = {{"", this}};
  std::unordered_set<std::string> taken;
  for (const Initializer& initializer : impl_->compiled.model.graph.initializers()) {
    const auto state = impl_->compiled.state.find(initializer.name);
    if (state == impl_->compiled.state.end()) continue;
    std::vector<std::string> parts = split(initializer.name, '.');
    std::string leaf = std::move(parts.back());
    parts.pop_back();
    std::string path;
    for (std::string& part : parts) {
      if (part.empty()) part = "_";
      const std::string parent = path;
      path += "." + part;
      torch::nn::Module*& module = modules[path];
      if (!module)
        module = modules[parent]->register_module(part, std::make_shared<torch::nn::Module>(part)).get();
    }
    if (leaf.empty()) leaf = "_";
    while (!taken.insert(path + "." + leaf).second) leaf += "_";
    if (impl_->compiled.roles.of.at(initializer.name) == Role::kWeight) {
      modules[path]->register_parameter(leaf, state->second, state->second.requires_grad());
    } else {
      modules[path]->register_buffer(leaf, state->second);
    }
  }
  train(training);
}

std::vector<at::Tensor> GraphModule::forward(const std::vector<at::Tensor>& inputs) {
  const Compiled& compiled = impl_->compiled;
  std::vector<Slot> slots = to_slots(compiled.check_inputs(inputs, impl_->options.device));
  const RunContext context = impl_->context(is_training());
  const bool folded = !context.training && !context.onnx_training_mode && !at::GradMode::is_enabled();
  if (folded) {
    if (const auto plan = impl_->plan_for_inference()) {
      return to_tensors(plan->run(std::move(slots), context), compiled.output_names);
    }
  }
  return to_tensors(compiled.plan->run(std::move(slots), context), compiled.output_names);
}

at::Tensor GraphModule::forward(const at::Tensor& input) {
  return forward(std::vector<at::Tensor>{input}).at(0);
}

std::vector<Slot> GraphModule::forward_slots(std::vector<Slot> inputs) {
  const Compiled& compiled = impl_->compiled;
  compiled.check_slots(inputs, impl_->options.device);
  return compiled.plan->run(std::move(inputs), impl_->context(is_training()));
}

GraphModule::Tapped GraphModule::forward_tapped(const std::vector<at::Tensor>& inputs,
                                                const std::vector<std::string>& wanted) {
  const Compiled& compiled = impl_->compiled;
  Watch watch;
  for (const std::string& name : wanted) watch.taps.push_back(compiled.plan->slot_of(name));
  const RunContext context = impl_->context(is_training());
  auto slots =
      compiled.plan->run(to_slots(compiled.check_inputs(inputs, impl_->options.device)), context, &watch);
  return {to_tensors(std::move(slots), compiled.output_names), std::move(watch.values)};
}

std::vector<at::Tensor> GraphModule::forward_visiting(const std::vector<at::Tensor>& inputs,
                                                      const Visitor& visit) {
  const Compiled& compiled = impl_->compiled;
  std::vector<at::Tensor> checked = compiled.check_inputs(inputs, impl_->options.device);
  for (size_t i = 0; i < checked.size(); ++i) visit(compiled.input_names[i], checked[i]);
  Watch watch;
  watch.visit = &visit;
  const RunContext context = impl_->context(is_training());
  auto slots = compiled.plan->run(to_slots(std::move(checked)), context, &watch);
  return to_tensors(std::move(slots), compiled.output_names);
}

GraphModule::Observer GraphModule::observer(const std::vector<std::string>& wanted) const {
  return [run = sum_observer(wanted)](const std::vector<at::Tensor>& inputs, const Visitor& visit) {
    return run(inputs, visit, nullptr);
  };
}

GraphModule::SumObserver GraphModule::sum_observer(const std::vector<std::string>& wanted) const {
  const std::shared_ptr<const Plan> plan = inference_plan(impl_->compiled, impl_->options, wanted);
  const std::unordered_set<std::string> shown(wanted.begin(), wanted.end());
  return [impl = impl_.get(), plan, shown](const std::vector<at::Tensor>& inputs, const Visitor& visit,
                                           const SumVisitor& visit_sum) {
    const at::NoGradGuard no_grad;
    const Compiled& compiled = impl->compiled;
    std::vector<at::Tensor> checked = compiled.check_inputs(inputs, impl->options.device);
    const Visitor visit_wanted = [&](const std::string& value, const at::Tensor& tensor) {
      if (shown.contains(value)) visit(value, tensor);
    };
    const SumVisitor visit_both = [&](const std::string& term, const std::string& sum,
                                      const at::Tensor& elements, const auto& compute) {
      if (shown.contains(term) && shown.contains(sum)) return visit_sum(term, sum, elements, compute);
      visit_wanted(term, elements);
      at::parallel_for(0, elements.numel(), at::internal::GRAIN_SIZE, compute);
      visit_wanted(sum, elements);
    };
    for (size_t i = 0; i < checked.size(); ++i) visit_wanted(compiled.input_names[i], checked[i]);
    Watch watch;
    watch.visit = &visit_wanted;
    if (visit_sum) watch.visit_sum = &visit_both;
    auto slots = plan->run(to_slots(std::move(checked)), impl->context(false), &watch);
    return to_tensors(std::move(slots), compiled.output_names);
  };
}

const std::vector<std::string>& GraphModule::input_names() const {
  return impl_->compiled.input_names;
}

const std::vector<std::string>& GraphModule::output_names() const {
  return impl_->compiled.output_names;
}

at::Device GraphModule::device() const {
  return impl_->options.device;
}

Model GraphModule::graph() const {
  return current_model(impl_->compiled);
}

const Model& GraphModule::structure() const {
  return impl_->compiled.model;
}

void GraphModule::set_random(uint64_t seed, uint64_t step) {
  impl_->seed = seed;
  impl_->step = step;
}

void GraphModule::set_onnx_training_mode(bool on) {
  impl_->onnx_training_mode = on;
}

void GraphModule::to(at::Device device, bool) {
  to_device(device);
}

void GraphModule::to_device(at::Device device) {
  if (device == impl_->options.device) return;
  for (auto& [name, tensor] : impl_->compiled.state) {
    tensor.mutable_grad().reset();
    tensor.set_data(tensor.to(state_device(role(name), tensor.scalar_type(), device)));
  }
  impl_->options.device = device;
  compile_plan(impl_->compiled, impl_->options);
  impl_->drop_inference();
}

RunContext GraphModule::Impl::context(bool training) {
  if (training) training_runs.fetch_add(1, std::memory_order_relaxed);
  RunContext context;
  context.training = training;
  context.seed = seed;
  context.step = step;
  context.onnx_training_mode = onnx_training_mode;
  return context;
}

// Data pointers tell replaced storage. Batch norm and observers write statistics without counting, hence
// the number of runs in training.
uint64_t GraphModule::Impl::state_key() const {
  uint64_t key = training_runs.load(std::memory_order_relaxed);
  for (const auto& [name, tensor] : compiled.state) {
    key = key * 31 + tensor._version() + reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  }
  return key;
}

std::shared_ptr<const Plan> GraphModule::Impl::plan_for_inference() {
  const std::lock_guard lock(inference_mutex);
  const uint64_t key = state_key();
  if (key != inference_key) {
    inference_key = key;
    inference.reset();
  } else if (!inference) {
    inference = inference_plan(compiled, options);
  }
  return inference;
}

void GraphModule::Impl::drop_inference() {
  const std::lock_guard lock(inference_mutex);
  inference.reset();
  inference_key = 0;
}

}  // namespace mc
