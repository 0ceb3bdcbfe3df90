// The program's commands as functions: nothing printed, messages and progress told to Python.
#include <memory>
#include <string>
#include <vector>

#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/cli/program.h"

namespace py = pybind11;

namespace mc {
namespace {

const char* name_of(LogLevel level) {
  if (level == LogLevel::kDebug) return "debug";
  return level == LogLevel::kWarning ? "warning" : "info";
}

// Tells a Python object: log(level, message) and progress(title, done, total, note, finished). What it raises
// is reported as unraisable: messages must not end the work.
class PythonSink : public LogSink {
 public:
  explicit PythonSink(py::object listener) : listener_(std::move(listener)) {}
  ~PythonSink() override {
    py::gil_scoped_acquire gil;
    listener_.release().dec_ref();
  }

  void log(LogLevel level, std::string_view message) override {
    tell("log", name_of(level), std::string(message));
  }

  void progress(const ProgressState& state) override {
    tell("progress", std::string(state.title), state.done, state.total, std::string(state.note),
         state.finished);
  }

 private:
  template <class... Args>
  void tell(const char* method, Args&&... args) {
    py::gil_scoped_acquire gil;
    try {
      listener_.attr(method)(std::forward<Args>(args)...);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable(method);
    }
  }

  py::object listener_;
};

// Python's own handler of Ctrl-C decides first, as it would have without us.
void raise_interrupt(const std::string& message) {
  PyErr_SetInterrupt();
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  throw Error(message, ErrorKind::kInterrupted);
}

py::tuple call_command(const std::vector<std::string>& arguments, const py::object& listener) {
  std::shared_ptr<LogSink> sink;
  if (!listener.is_none()) sink = std::make_shared<PythonSink>(listener);
  CommandResult result;
  {
    py::gil_scoped_release release;
    result = run_command(arguments, std::move(sink));
  }
  if (result.status == static_cast<int>(ErrorKind::kInterrupted)) raise_interrupt(result.error);
  if (!result.error.empty()) throw Error(result.error);
  return py::make_tuple(result.status, result.output, result.document);
}

}  // namespace

void bind_commands(py::module_& module) {
  module.def("describe_commands", &describe_commands,
             "The commands with their options, as JSON (mc/cli/program.h).");
  module.def("call_command", &call_command, py::arg("arguments"), py::arg("listener") = py::none(),
             "Runs one command: (exit status, its text, its report as JSON or ''). Raises Error where the "
             "program would end with a message, KeyboardInterrupt on Ctrl-C. `listener` has log(level, "
             "message) and progress(title, done, total, note, finished).");
}

}  // namespace mc
