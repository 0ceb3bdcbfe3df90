// Engines on tensors.
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include <ATen/ATen.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "mc/base/error.h"
#include "mc/deploy/engine.h"
#include "mc/ops/slot.h"

namespace py = pybind11;

namespace mc {
namespace {

using PyPort =
    std::tuple<std::string, std::string, std::optional<std::vector<std::variant<int64_t, std::string>>>>;

PyPort describe(const PortInfo& port) {
  PyPort result{port.name, dtype_name(port.type.dtype), std::nullopt};
  if (!port.type.shape) return result;
  auto& shape = std::get<2>(result).emplace();
  for (const Dim& dim : *port.type.shape) {
    if (dim.known()) {
      shape.emplace_back(dim.value);
    } else {
      shape.emplace_back(dim.symbol);
    }
  }
  return result;
}

std::vector<PyPort> describe(const std::vector<PortInfo>& ports) {
  std::vector<PyPort> result;
  for (const PortInfo& port : ports) result.push_back(describe(port));
  return result;
}

// A session that takes one call at a time, from any thread.
class LockedSession {
 public:
  LockedSession(const std::string& model, const std::string& engine, int threads,
                const std::string& precision, const std::string& device) {
    EngineOptions options;
    options.threads = threads;
    options.precision = precision;
    options.device = device;
    session_ = find_engine(engine).load(model, options);
  }

  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) {
    std::lock_guard lock(mutex_);
    return infer_in_pieces(*session_, inputs);
  }

  const Session& session() const { return *session_; }

 private:
  std::mutex mutex_;
  std::unique_ptr<Session> session_;
};

}  // namespace

void bind_engine(py::module_& module) {
  py::class_<LockedSession> type(module, "Session", "A model loaded by an engine.");
  forbid_new(type, "open_session");
  type.def("run", &LockedSession::run, py::arg("inputs"), py::call_guard<py::gil_scoped_release>(),
           "CPU tensors in the order of `inputs`; contiguous ones are read where they are.")
      .def_property_readonly("inputs",
                             [](const LockedSession& self) { return describe(self.session().inputs()); })
      .def_property_readonly("outputs",
                             [](const LockedSession& self) { return describe(self.session().outputs()); })
      .def_property_readonly("precision",
                             [](const LockedSession& self) { return self.session().precision(); });
  module.def(
      "open_session",
      [](const std::string& model, const std::string& engine, int threads, const std::string& precision,
         const std::string& device) {
        return std::make_unique<LockedSession>(model, engine, threads, precision, device);
      },
      py::arg("model"), py::arg("engine"), py::arg("threads"), py::arg("precision"), py::arg("device"),
      py::call_guard<py::gil_scoped_release>(),
      "Loads a model's file; precision and device as mc.Engine has them.");
  module.def(
      "engines",
      [] {
        std::vector<std::pair<std::string, std::string>> result;
        for (const Engine* engine : all_engines())
          result.emplace_back(engine->name(), engine->unavailable_reason());
        return result;
      },
      py::call_guard<py::gil_scoped_release>(), "(name, why it is not available or '') of each engine.");
}

}  // namespace mc
