#include <string>
#include <vector>

#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "mc/cli/program.h"

namespace py = pybind11;

namespace mc {

void bind_program(py::module_& module) {
  module.def("run_program", &run_program, py::arg("arguments"), py::call_guard<py::gil_scoped_release>(),
             "Runs one command of the command line, printing as the program does; gives its exit status.");
  module.def(
      "run_command",
      [](const std::vector<std::string>& arguments) {
        const CommandResult result = run_command(arguments);
        return std::tuple(result.status, result.output, result.error);
      },
      py::arg("arguments"), py::call_guard<py::gil_scoped_release>(),
      "Runs one command without printing: (exit status, what it would print to stdout, error or '').");
}

}  // namespace mc
