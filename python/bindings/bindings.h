// The parts of the extension module `_core`, one file each. Python's side (python/model_compression) gives
// them the names and the manners that people know; what stands here takes and gives plain values, checks
// them, and releases the GIL while it works.
#pragma once

#include <string>

#include <pybind11/pybind11.h>

namespace mc {

void bind_errors(pybind11::module_& module);     // before all others
void bind_tensors(pybind11::module_& module);    // masks and fake quantization of plain tensors
void bind_magnitude(pybind11::module_& module);  // thresholds and masks of magnitudes
void bind_module(pybind11::module_& module);     // GraphModule
void bind_quantize(pybind11::module_& module);   // quantization-aware training of a GraphModule
void bind_program(pybind11::module_& module);    // the command line
void bind_commands(pybind11::module_& module);   // its commands as functions
void bind_data(pybind11::module_& module);       // samples in memory
void bind_engine(pybind11::module_& module);     // engines on tensors

// Objects of this type come from functions alone: type.__new__ would make some that hold nothing, and
// pybind11 would use them.
template <class Type>
void forbid_new(Type& type, const char* makers) {
  const auto refuse = [makers](const pybind11::args&, const pybind11::kwargs&) -> pybind11::object {
    throw pybind11::type_error(std::string("such an object is not made or copied directly; see ") + makers);
  };
  type.attr("__new__") = pybind11::staticmethod(pybind11::cpp_function(refuse));
}

}  // namespace mc
