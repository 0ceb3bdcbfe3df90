// The class GraphModule of `_core`: what mc.Module stands on.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "bindings/native_module.h"
#include "mc/base/error.h"
#include "mc/module/given_state.h"
#include "mc/onnx/onnx.h"
#include "mc/rewrite/pass.h"

namespace py = pybind11;

namespace mc {
namespace {

std::shared_ptr<NativeModule> from_bytes(const py::bytes& onnx, at::Device device, const RoleNames& roles,
                                         const std::map<std::string, at::Tensor>& given) {
  auto owner = std::make_shared<std::string>(onnx);
  const py::gil_scoped_release release;
  const auto view = std::as_bytes(std::span(owner->data(), owner->size()));
  Model model = parse_onnx(view, owner);
  const GivenState state(given);
  return std::make_shared<NativeModule>(std::move(model), device, roles);
}

std::shared_ptr<NativeModule> from_file(const std::string& path, at::Device device, const RoleNames& roles,
                                        const std::map<std::string, at::Tensor>& given) {
  Model model = read_onnx(path);
  const GivenState state(given);
  return with_context([&] { return path; },
                      [&] { return std::make_shared<NativeModule>(std::move(model), device, roles); });
}

// One tensor of the state: where it stands in the tree of modules, its initializer, the tensor, its role.
using StateEntry = std::tuple<std::string, std::string, at::Tensor, std::string>;

std::vector<StateEntry> state_entries(const GraphModule& module) {
  std::unordered_map<const void*, std::string> names;
  for (const auto& [name, tensor] : module.state()) names[tensor.unsafeGetTensorImpl()] = name;
  std::vector<StateEntry> entries;
  const auto add = [&](const auto& list) {
    for (const auto& each : list) {
      const std::string& name = names.at(each.value().unsafeGetTensorImpl());
      entries.emplace_back(each.key(), name, each.value(), role_name(module.role(name)));
    }
  };
  add(module.named_parameters());
  add(module.named_buffers());
  return entries;
}

std::vector<std::tuple<std::string, std::string, std::vector<std::string>, std::vector<std::string>>>
node_list(const GraphModule& module) {
  std::vector<std::tuple<std::string, std::string, std::vector<std::string>, std::vector<std::string>>> nodes;
  for (const Node& node : module.structure().graph.nodes)
    nodes.emplace_back(node.name, node.op_type, node.inputs, node.outputs);
  return nodes;
}

std::vector<std::pair<std::string, std::string>> input_types(const GraphModule& module) {
  std::vector<std::pair<std::string, std::string>> types;
  for (const ValueInfo* input : module.structure().graph.real_inputs())
    types.emplace_back(input->name, to_string(input->type));
  return types;
}

RoleNames role_names(const GraphModule& module) {
  RoleNames names;
  for (const auto& [initializer, role] : module.roles().of) names.emplace_back(initializer, role_name(role));
  return names;
}

// As taps resolve names: values, nodes, and nodes that others stand for.
bool has_value(const Graph& graph, const std::string& name) {
  const auto is = [&](const auto& each) { return each.name == name; };
  if (std::ranges::any_of(graph.inputs, is) || graph.initializer(name)) return true;
  return std::ranges::any_of(graph.nodes, [&](const Node& node) {
    const auto names = sources(node);
    return node.name == name || std::ranges::count(node.outputs, name) || std::ranges::count(names, name);
  });
}

using Native = NativeModule;

void bind_running(py::class_<Native, std::shared_ptr<Native>>& type) {
  const py::call_guard<py::gil_scoped_release> no_gil;
  type.def("forward", &Native::forward, py::arg("inputs"), py::arg("training"), no_gil,
           "The outputs, in the order of output_names, with autograd.");
  type.def(
      "forward_tapped",
      [](Native& self, const std::vector<at::Tensor>& inputs, const std::vector<std::string>& wanted,
         bool training) {
        GraphModule::Tapped tapped = self.forward_tapped(inputs, wanted, training);
        return std::pair(std::move(tapped.outputs), std::move(tapped.values));
      },
      py::arg("inputs"), py::arg("wanted"), py::arg("training"), no_gil,
      "The outputs, and the values of these names.");
  type.def(
      "has_value",
      [](const Native& self, const std::string& name) {
        return self.read(
            [&](const GraphModule& module) { return has_value(module.structure().graph, name); });
      },
      py::arg("name"), no_gil, "Whether forward_tapped knows the name.");
}

void bind_state(py::class_<Native, std::shared_ptr<Native>>& type) {
  const py::call_guard<py::gil_scoped_release> no_gil;
  type.def(
      "state", [](const Native& self) { return self.read(state_entries); }, no_gil,
      "The tensors themselves: (path, initializer, tensor, role), parameters first.");
  type.def(
      "set_mask",
      [](Native& self, const std::string& parameter, const std::optional<at::Tensor>& mask, bool latent) {
        self.change(
            [&](GraphModule& module) { module.set_mask(parameter, mask.value_or(at::Tensor()), latent); });
      },
      py::arg("parameter"), py::arg("mask"), py::arg("latent") = false, no_gil,
      "Sets the mask of a parameter (bool, true keeps), or removes it (None).");
  type.def(
      "apply_masks", [](Native& self) { self.change([](GraphModule& module) { module.apply_masks(); }); },
      no_gil, "Zeroes what the masks drop.");
  type.def(
      "masked", [](const Native& self) { return self.read(std::mem_fn(&GraphModule::masked)); }, no_gil,
      "The parameters that have a mask.");
  type.def(
      "to_device",
      [](Native& self, at::Device device) {
        MC_CHECK(device.is_cpu() || device.is_cuda(), "a model cannot be on device {}", device.str());
        self.change([&](GraphModule& module) { module.to_device(device); });
      },
      py::arg("device"), no_gil, "Moves everything; tensors stay the same objects.");
  type.def("device", [](const Native& self) { return self.read(std::mem_fn(&GraphModule::device)); }, no_gil);
}

void bind_structure(py::class_<Native, std::shared_ptr<Native>>& type) {
  const py::call_guard<py::gil_scoped_release> no_gil;
  type.def(
      "input_names",
      [](const Native& self) { return self.read([](const GraphModule& m) { return m.input_names(); }); },
      no_gil);
  type.def(
      "output_names",
      [](const Native& self) { return self.read([](const GraphModule& m) { return m.output_names(); }); },
      no_gil);
  type.def(
      "input_types", [](const Native& self) { return self.read(input_types); }, no_gil,
      "(name, type with shape) of every input.");
  type.def(
      "nodes", [](const Native& self) { return self.read(node_list); }, no_gil,
      "(name, operator, inputs, outputs) of every node of the outermost graph, in order.");
  type.def(
      "roles", [](const Native& self) { return self.read(role_names); }, no_gil,
      "(initializer, role) of every initializer.");
  type.def(
      "to_bytes",
      [](const Native& self) {
        std::string bytes;
        {
          const py::gil_scoped_release release;
          bytes = self.read([](const GraphModule& module) { return to_bytes(module.graph()); });
        }
        return py::bytes(bytes);
      },
      "The model with its values now, as the bytes of an ONNX file.");
  type.def(
      "save",
      [](const Native& self, const std::string& path, bool external_data) {
        const Model model = self.read([](const GraphModule& module) { return module.graph(); });
        write_onnx(model, path, {.external_data = external_data});
      },
      py::arg("path"), py::arg("external_data") = false, no_gil, "Writes the model as ONNX.");
}

}  // namespace

void bind_module(py::module_& module) {
  py::class_<Native, std::shared_ptr<Native>> type(module, "GraphModule",
                                                   "An ONNX graph on ATen, with autograd.");
  forbid_new(type, "parse_module and read_module");
  module.def("parse_module", &from_bytes, py::arg("onnx"), py::arg("device"), py::arg("roles") = RoleNames{},
             py::arg("given") = std::map<std::string, at::Tensor>{},
             "A GraphModule of the bytes of an ONNX file; `given` are tensors that it takes for its own.");
  module.def("read_module", &from_file, py::arg("path"), py::arg("device"), py::arg("roles") = RoleNames{},
             py::arg("given") = std::map<std::string, at::Tensor>{}, py::call_guard<py::gil_scoped_release>(),
             "A GraphModule of an ONNX file; `given` are tensors that it takes for its own.");
  bind_running(type);
  bind_state(type);
  bind_structure(type);
}

}  // namespace mc
