// What must hold for any bytes: they are refused with an Error, or they are a model that survives every
// round trip.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>

#include "mc/base/error.h"
#include "mc/onnx/onnx.h"

namespace mc {

// True when the bytes are a model. Throws std::logic_error when a round trip changes it.
inline bool check_onnx_bytes(std::span<const std::byte> bytes) {
  Model model;
  try {
    model = parse_onnx(bytes, nullptr);
  } catch (const Error&) {
    return false;
  }
  const auto require = [](bool condition, const char* message) {
    if (!condition) throw std::logic_error(message);
  };
  try {
    const std::string written = to_bytes(model);
    const Model again = parse_onnx(std::as_bytes(std::span(written)), nullptr);
    require(again == model, "writing and reading changes the model");
    require(to_bytes(again) == written, "a second writing changes the bytes");
    require(parse_model(print(model, /*full=*/true)) == model, "printing and parsing changes the model");
  } catch (const Error& error) {
    throw std::logic_error(error.what());
  }
  return true;
}

}  // namespace mc
