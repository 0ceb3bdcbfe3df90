#include "bindings/bindings.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The native part of model_compression.";
  mc::bind_errors(module);
  mc::bind_tensors(module);
  mc::bind_magnitude(module);
  mc::bind_module(module);
  mc::bind_quantize(module);
  mc::bind_program(module);
  mc::bind_commands(module);
  mc::bind_data(module);
  mc::bind_engine(module);
}
