// What must hold for any bytes on the way from a file to a module that can run: an Error, or a module.
#pragma once

#include <cstddef>
#include <span>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"

namespace mc {

enum class ModuleBytes { kNoModel, kNoModule, kModule };

inline ModuleBytes check_module_bytes(std::span<const std::byte> bytes) {
  Model model;
  try {
    model = parse_onnx(bytes, nullptr);
  } catch (const Error&) {
    return ModuleBytes::kNoModel;
  }
  try {
    Model inferred = model;
    infer_shapes(inferred);
    model_costs(inferred);
  } catch (const Error&) {
    // A model whose shapes contradict each other may compile all the same: an input decides.
  }
  try {
    GraphModule module(std::move(model));
    module.eval();
    return ModuleBytes::kModule;
  } catch (const Error&) {
    return ModuleBytes::kNoModule;
  }
}

}  // namespace mc
