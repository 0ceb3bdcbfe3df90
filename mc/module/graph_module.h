// A torch::nn::Module that runs a Model: compiled once into a flat plan (bound kernels, numbered slots,
// freed after their last use), executed on ATen with autograd.
//
// The module is an immutable plan plus state keyed by initializer name. Parameters and statistics are
// registered under their own names ("layer1.0.conv1.weight" is parameter `weight` of submodule
// layer1 -> 0 -> conv1), so named_parameters() gives initializer names; only an empty part of a name
// ("a..b") becomes "_" there. Weights are parameters; statistics, quantization state and masks are
// buffers. edit() is the only way to change a live module.
//
// train(): the graph as written, batch norm by PyTorch's rule, dropout drops, observers observe.
// eval(): running statistics; under NoGradGuard a second plan is used, folded and fused. It is made on the
// second such run with the same values and dropped when a value changes: whoever alternates training steps
// with single batches of evaluation pays for no folding. Change tensors through ATen operations (or bump
// their version counters), else the change is not seen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "mc/graph/graph.h"
#include "mc/module/state.h"
#include "mc/module/visitor.h"
#include "mc/ops/slot.h"

namespace mc {

struct ModuleOptions {
  at::Device device = at::kCPU;
  std::vector<std::pair<std::string, Role>> roles;  // overrides, see assign_roles
  bool channels_last = true;  // keep 4-D convolution weights in channels-last memory format
};

class GraphModule : public torch::nn::Module {
 public:
  // Takes the model's tensors (copied to the device, aligned). Throws Error that lists all unsupported
  // operators at once, with node names, before anything else.
  explicit GraphModule(Model model, ModuleOptions options = {});
  ~GraphModule() override;

  // Inputs in the order of input_names(); outputs in the order of output_names(). Inputs on another device
  // are moved. Throws Error when the number, rank, a fixed dim or the kind (float or integer) of an input
  // does not fit, or a node fails (naming the node).
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs);
  at::Tensor forward(const at::Tensor& input);  // one input, first output

  // The same for values of any kind (sequences, optionals, strings), in the graph as written.
  std::vector<Slot> forward_slots(std::vector<Slot> inputs);

  // Forward that also gives the values named (`wanted`; a fused-away name resolves through provenance),
  // with autograd. Throws Error with the nearest name for one that does not exist.
  struct Tapped {
    std::vector<at::Tensor> outputs;
    std::vector<at::Tensor> values;
  };
  Tapped forward_tapped(const std::vector<at::Tensor>& inputs, const std::vector<std::string>& wanted);

  // Calls `visit` with every named value as it is made, inputs first, in plan order (calibration,
  // comparison). Values that depend on no input are not shown.
  using Visitor = mc::Visitor;
  std::vector<at::Tensor> forward_visiting(const std::vector<at::Tensor>& inputs, const Visitor& visit);

  // The same as a function of the state as it is now, in eval() without gradients: the folded plan, all but
  // what would take one of the values `wanted` away. Shows these, inputs and values that nodes make; other
  // names are passed over. Not to be called when the module is gone or edited; safe to call from several
  // threads.
  using Observer = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&, const Visitor&)>;
  Observer observer(const std::vector<std::string>& wanted) const;

  // The same, where residual sums and their terms may be shown together.
  using SumObserver = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&, const Visitor&,
                                                            const SumVisitor&)>;
  SumObserver sum_observer(const std::vector<std::string>& wanted) const;

  const std::vector<std::string>& input_names() const;
  const std::vector<std::string>& output_names() const;
  at::Device device() const;

  // The model as it stands: structure plus current values. Weights are shared when on the CPU and
  // contiguous (do not train on while using it), else copied.
  Model graph() const;
  const Model& structure() const;  // initializers hold the values at the last compile

  // State by initializer name. Throw Error with the nearest name when it does not exist.
  at::Tensor tensor(const std::string& name) const;
  Role role(const std::string& name) const;
  const Roles& roles() const;
  std::vector<std::string> names(Role role) const;

  // Masks: one a parameter, same shape, element type bool, 1 keeps. set_mask(name, {}) removes it.
  // The parameter itself is multiplied at once unless `latent`. apply_masks() multiplies all parameters.
  void set_mask(const std::string& parameter, at::Tensor mask, bool latent = false);
  at::Tensor mask(const std::string& parameter) const;  // undefined when there is none
  void apply_masks();
  std::vector<std::string> masked() const;

  // Rewrites the model and recompiles; parameters, statistics, masks, quantization state and whatever
  // attached carriers hold are carried along by name, cut where the edit says. On an Error nothing has
  // changed.
  EditReport edit(const std::function<void(Edit&)>& pass);
  void attach(StateCarrier* carrier);
  void detach(StateCarrier* carrier);

  // Random operators draw from (seed, step, node).
  void set_random(uint64_t seed, uint64_t step);

  // For conformance tests only: the file's training_mode decides whether batch norm and dropout train, by
  // ONNX's rules, and not train() and eval().
  void set_onnx_training_mode(bool on);

  // Copies all state from `values` (by name). Missing or extra names, or other shapes, are an Error that
  // lists them; nothing is copied then. Masks ("<parameter>.mask") are set where the module has none yet.
  void load_state(const std::map<std::string, at::Tensor>& values);
  std::map<std::string, at::Tensor> state() const;  // shares storage with the module

  // Moves everything; the parameter tensors stay the same objects, their gradients are dropped.
  void to_device(at::Device device);
  void to(at::Device device, bool non_blocking = false) override;
  using torch::nn::Module::to;

 private:
  void register_state();

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mc
