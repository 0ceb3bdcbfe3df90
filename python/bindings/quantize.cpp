// Quantization-aware training of a GraphModule, and what it becomes.
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "bindings/native_module.h"
#include "mc/base/config_json.h"
#include "mc/base/error.h"
#include "mc/base/options_read.h"
#include "mc/graph/dtype.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/quantizer_config.h"
#include "mc/quantize/settle_biases.h"

namespace py = pybind11;

namespace mc {
namespace {

QuantizeOptions parse_options(const std::string& json) {
  QuantizeOptions options;
  read_options(config_from_json(Json::parse(json)), options);
  MC_CHECK(options.trains(), "the mode is '{}'; a model in training takes qat", options.mode);
  return options;
}

using LayerRow = std::tuple<std::string, std::string, bool, std::string>;

std::vector<LayerRow> prepare(NativeModule& self, const QuantizeOptions& options) {
  std::vector<LayerRow> rows;
  for (const LayerQuantization& layer :
       self.change([&](GraphModule& module) { return prepare_qat(module, options); }))
    rows.emplace_back(layer.node, layer.op_type, layer.quantized, layer.reason);
  return rows;
}

// Integer weights, scales and zero points are state, so that state_dict() has them. Elements of less than a
// byte have no tensor, and stay constants of the graph. What is left of the module keeps its role.
RoleNames converted_roles(const Model& model, const Roles& before) {
  std::map<std::string, Role> roles;
  for (const Node& node : model.graph.nodes) {
    if (node.op_type != "DequantizeLinear" && node.op_type != "QuantizeLinear") continue;
    for (const std::string& input : node.inputs) {
      const Initializer* initializer = model.graph.initializer(input);
      if (initializer && dtype_bits(initializer->tensor.dtype) >= 8) roles[input] = Role::kState;
    }
  }
  for (const auto& [name, role] : before.of) {
    const bool trained = role == Role::kWeight || role == Role::kStatistic || role == Role::kState;
    const Initializer* initializer = model.graph.initializer(name);
    if (trained && initializer && dtype_is_float(initializer->tensor.dtype)) roles.try_emplace(name, role);
  }
  RoleNames names;
  for (const auto& [name, role] : roles) names.emplace_back(name, role_name(role));
  return names;
}

std::shared_ptr<NativeModule> convert_module(const NativeModule& self, const QuantizeOptions& options) {
  const auto [model, device, roles] = self.read([&](const GraphModule& module) {
    Model converted = convert(module, options);
    RoleNames names = converted_roles(converted, module.roles());
    return std::tuple(std::move(converted), module.device(), std::move(names));
  });
  return std::make_shared<NativeModule>(model, device, roles);
}

}  // namespace

void bind_quantize(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> no_gil;
  module.def(
      "prepare_qat",
      [](NativeModule& self, const std::string& options) { return prepare(self, parse_options(options)); },
      py::arg("module"), py::arg("options"), no_gil,
      "Inserts quantizers; gives (node, operator, quantized, reason) of every layer. Options as JSON.");
  module.def(
      "set_phase",
      [](NativeModule& self, bool observe, bool quantize, bool freeze_batch_norm) {
        self.change([&](GraphModule& graph) { set_phase(graph, {observe, quantize, freeze_batch_norm}); });
      },
      py::arg("module"), py::kw_only(), py::arg("observe"), py::arg("quantize"), py::arg("freeze_batch_norm"),
      no_gil, "Whether quantizers observe, whether they quantize, and whether batch norm's statistics stay.");
  module.def(
      "settle_biases",
      [](NativeModule& self, const std::string& options) {
        const QuantizeOptions parsed = parse_options(options);
        return self.change([&](GraphModule& graph) { return settle_biases(graph, parsed); });
      },
      py::arg("module"), py::arg("options"), no_gil,
      "Moves biases onto the values that integer kernels add; gives how many.");
  module.def(
      "convert_module",
      [](const NativeModule& self, const std::string& options) {
        return convert_module(self, parse_options(options));
      },
      py::arg("module"), py::arg("options"), no_gil,
      "A new GraphModule with integer weights and QuantizeLinear/DequantizeLinear pairs.");
  module.def(
      "check_quantize_options", [](const std::string& options) { parse_options(options); },
      py::arg("options"), no_gil, "Throws Error for options that prepare_qat would refuse.");
}

}  // namespace mc
