#include "mc/module/compiled.h"

#include <algorithm>
#include <unordered_set>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/free_memory.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/module/given_state.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

// Masks whose parameter is gone, or does not train, mean nothing any more; the others get their usual names.
void settle_masks(Model& model, Roles& roles) {
  const std::vector<std::string> names = initializer_names(model);
  for (const std::string& name : names) {
    Tensor mask = model.graph.initializer(name)->tensor;
    const std::string* found = find_metadata(mask.metadata, kMaskOf);
    if (!found) continue;
    const std::string parameter = *found;
    const auto role = roles.of.find(parameter);
    const bool stray = role == roles.of.end() || role->second != Role::kWeight;
    if (stray) warn("mask '{}' is dropped: the model has no parameter '{}' that trains", name, parameter);
    if (!stray) {
      MC_CHECK(mask.dtype == DType::kBool && mask.dims == model.graph.initializer(parameter)->tensor.dims,
               "mask '{}' must be bool and shaped like its parameter '{}'", name, parameter);
      if (name == mask_name(parameter)) continue;
    }
    model.graph.erase_initializer(name);
    roles.of.erase(name);
    if (stray) continue;
    model.graph.add_initializer(mask_name(parameter), std::move(mask));
    roles.of[mask_name(parameter)] = Role::kMask;
  }
}

// A copy, since kernels write to it: never the model's own bytes. Memory that stays is taken before memory
// that a copy needs for a moment, so that no holes are left.
at::Tensor fresh_state(const Initializer& initializer, Role role, bool channels_last, at::Device device) {
  const at::ScalarType type = to_scalar_type(initializer.tensor.dtype);
  const at::Device place = state_device(role, type, device);
  at::Tensor tensor;
  if (place.is_cpu() && !channels_last) {
    tensor = to_aten(initializer.tensor, true);
  } else {
    const auto format = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
    tensor = at::empty(initializer.tensor.dims, at::TensorOptions(type).device(place), format);
    tensor.copy_(to_aten(initializer.tensor, false));
  }
  tensor.set_requires_grad(role == Role::kWeight);
  return tensor;
}

// The tensor that the caller gave, as the module keeps it.
at::Tensor taken_state(at::Tensor tensor, const Initializer& initializer, Role role, bool channels_last,
                       at::Device device) {
  const at::ScalarType type = to_scalar_type(initializer.tensor.dtype);
  const at::Device place = state_device(role, type, device);
  MC_CHECK(tensor.sizes() == at::IntArrayRef(initializer.tensor.dims) && tensor.scalar_type() == type &&
               tensor.device() == place,
           "the tensor given for it is {}[{}] on {}; the model has {}[{}] on {}",
           at::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ","), tensor.device().str(),
           at::toString(type), fmt::join(initializer.tensor.dims, ","), place.str());
  MC_CHECK(tensor.layout() == at::kStrided && !tensor.is_inference() && tensor.is_leaf() &&
               (role == Role::kWeight || !tensor.requires_grad()),
           "the tensor given for it is sparse, of inference mode, computed from others, or needs a gradient "
           "that a {} has not",
           role_name(role));
  if (channels_last && !tensor.is_contiguous(at::MemoryFormat::ChannelsLast))
    tensor.set_data(as_channels_last(tensor));
  return tensor;
}

// The values that nodes make, of those named.
void add_outputs(Graph& graph, const std::vector<std::string>& names) {
  const Uses uses(graph);
  for (const std::string& name : names) {
    if (!uses.producer(name) || uses.is_output(name)) continue;
    ValueInfo info;
    info.name = name;
    graph.outputs.push_back(std::move(info));
  }
}

void check_input(const InputSpec& spec, const at::Tensor& tensor) {
  MC_CHECK(tensor.defined(), "input '{}' is an undefined tensor", spec.name);
  if (!spec.type.is_tensor()) return;
  const auto describe = [&] {
    return fmt::format("input '{}' is {}[{}]; the model takes {}", spec.name,
                       at::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ","),
                       to_string(spec.type));
  };
  if (spec.type.dtype != DType::kUndefined) {
    MC_CHECK(tensor.is_floating_point() == dtype_is_float(spec.type.dtype), "{}", describe());
  }
  if (!spec.type.shape) return;
  const Shape& shape = *spec.type.shape;
  MC_CHECK(tensor.dim() == static_cast<int64_t>(shape.size()), "{}", describe());
  for (size_t i = 0; i < shape.size(); ++i) {
    MC_CHECK(!shape[i].known() || shape[i].value == tensor.size(static_cast<int64_t>(i)), "{}", describe());
  }
}

}  // namespace

at::Device state_device(Role role, at::ScalarType type, at::Device device) {
  return role == Role::kState && type == at::kLong ? at::Device(at::kCPU) : device;
}

std::vector<at::Tensor> Compiled::check_inputs(const std::vector<at::Tensor>& given,
                                               at::Device device) const {
  MC_CHECK(given.size() == inputs.size(), "the model has {} inputs ({}) and got {}", inputs.size(),
           join(input_names, ", "), given.size());
  std::vector<at::Tensor> checked;
  checked.reserve(given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    check_input(inputs[i], given[i]);
    at::Tensor tensor = given[i].device() == device ? given[i] : given[i].to(device);
    if (channels_last && tensor.dim() == 4 && tensor.is_floating_point()) {
      tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
    }
    checked.push_back(std::move(tensor));
  }
  return checked;
}

void Compiled::check_slots(std::vector<Slot>& given, at::Device device) const {
  MC_CHECK(given.size() == inputs.size(), "the model has {} inputs ({}) and got {}", inputs.size(),
           join(input_names, ", "), given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    MC_CHECK(given[i].defined(), "input '{}' is missing", inputs[i].name);
    if (!given[i].tensor.defined() || given[i].extra) continue;
    check_input(inputs[i], given[i].tensor);
    given[i].tensor = given[i].tensor.to(device);
  }
}

Compiled compile_model(Model model, const ModuleOptions& options, const Carry& carry) {
  verify(model);
  inline_functions(model);
  if (const auto missing = unsupported_ops(model); !missing.empty()) {
    fail("the model uses operators that are not supported: {}; export it with others, or cut them off",
         join(missing, ", "));
  }
  // State must have version counters, whatever mode the caller is in.
  const c10::InferenceMode off(false);
  Compiled compiled;
  compiled.roles = assign_roles(model, options.roles);
  settle_masks(model, compiled.roles);
  const std::vector<std::string> convs = conv_weights(model.graph);
  const std::unordered_set<std::string> conv_set(convs.begin(), convs.end());
  compiled.channels_last = options.channels_last && !convs.empty();
  for (const Initializer& initializer : model.graph.initializers()) {
    const Role role = compiled.roles.of.at(initializer.name);
    if (role == Role::kConstant) continue;
    with_context([&] { return fmt::format("initializer '{}'", initializer.name); },
                 [&] {
                   at::Tensor tensor = carry ? carry(initializer, role) : at::Tensor();
                   // A mask is laid out as its parameter, so that multiplying them is one plain loop.
                   const std::string* masked = find_metadata(initializer.tensor.metadata, kMaskOf);
                   const bool last =
                       compiled.channels_last && conv_set.contains(masked ? *masked : initializer.name);
                   if (at::Tensor given = tensor.defined() ? at::Tensor() : given_state(initializer.name);
                       given.defined()) {
                     tensor = taken_state(std::move(given), initializer, role, last, options.device);
                   }
                   if (!tensor.defined()) tensor = fresh_state(initializer, role, last, options.device);
                   compiled.state[initializer.name] = std::move(tensor);
                 });
  }
  for (const ValueInfo* input : model.graph.real_inputs()) {
    compiled.inputs.push_back({input->name, input->type});
    compiled.input_names.push_back(input->name);
  }
  for (const ValueInfo& output : model.graph.outputs) compiled.output_names.push_back(output.name);
  compiled.model = std::move(model);
  compile_plan(compiled, options);
  release_free_memory();  // of unaligned weights that were copied twice
  return compiled;
}

void compile_plan(Compiled& compiled, const ModuleOptions& options) {
  Model model = compiled.model;
  // Shape arithmetic on constants is done once; whatever trains or is updated is left as written.
  FoldOptions fold;
  fold.foldable = [&](const Initializer& i) { return !compiled.state.contains(i.name); };
  fold_constants(model, fold);
  PlanOptions plan;
  plan.device = options.device;
  plan.channels_last = options.channels_last;
  plan.live = [&](const std::string& name) {
    const auto found = compiled.state.find(name);
    return found == compiled.state.end() ? at::Tensor() : found->second;
  };
  compiled.plan = std::make_unique<Plan>(std::move(model), plan);
}

Model current_model(const Compiled& compiled) {
  Model model = compiled.model;
  for (const auto& [name, tensor] : compiled.state) {
    Tensor value = to_constant(tensor);
    Tensor& place = model.graph.initializer(name)->tensor;
    place.dtype = value.dtype;
    place.dims = std::move(value.dims);
    place.data = std::move(value.data);
  }
  return model;
}

std::unique_ptr<Plan> inference_plan(const Compiled& compiled, const ModuleOptions& options,
                                     const std::vector<std::string>& visible) {
  Model model = current_model(compiled);
  const size_t outputs = model.graph.outputs.size();
  add_outputs(model.graph, visible);  // no pass takes an output away
  drop_idle_quantizers(model);
  infer_shapes(model);
  fold_types(model);
  if (options.device.is_cpu()) fuse_integer(model);
  fold_constants(model, {.foldable = {}, .quantizers = true, .as_initializers = true});
  drop_identity(model);
  fuse_pad(model);
  fold_batch_norm(model);
  if (options.device.is_cpu()) {
    fuse_conv(model);
    fuse_add_relu(model);
  }
  model.graph.outputs.resize(outputs);
  PlanOptions plan;
  plan.device = options.device;
  plan.channels_last = options.channels_last;
  return std::make_unique<Plan>(std::move(model), plan);
}

std::vector<std::string> initializer_names(const Model& model) {
  std::vector<std::string> names;
  for (const Initializer& initializer : model.graph.initializers()) names.push_back(initializer.name);
  return names;
}

std::string mask_name(const std::string& parameter) {
  return parameter + ".mask";
}

}  // namespace mc
