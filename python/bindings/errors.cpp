#include <c10/util/Exception.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

#include "bindings/bindings.h"
#include "mc/base/error.h"

namespace py = pybind11;

namespace mc {
namespace {

void set_error(const char* message) {
  const py::object type = py::module_::import("model_compression.errors").attr("Error");
  PyErr_SetString(type.ptr(), message);
}

}  // namespace

// Exceptions of the interpreter that crossed native code (from hooks, or an autograd function) stay what they
// are; memory that ran out is MemoryError or torch's own error.
void bind_errors(py::module_&) {
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInterrupted) {
        PyErr_SetString(PyExc_KeyboardInterrupt, error.what());
      } else {
        set_error(error.what());
      }
    } catch (python_error& error) {
      error.restore();
    } catch (const c10::OutOfMemoryError&) {
      torch::translate_exception_to_python(std::current_exception());
    } catch (const c10::Error& error) {
      set_error(error.what_without_backtrace());
    }
  });
}

}  // namespace mc
