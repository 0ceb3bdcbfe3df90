// Trained networks -> files that engines run.
#pragma once

#include <filesystem>
#include <optional>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

// The inference form of a trained network: masks are gone (their zeros stay in the weights), batch norm is
// folded, and simulated quantization, which `quantize` says the network has, becomes
// QuantizeLinear/DequantizeLinear pairs.
Model inference_model(const Model& trained, const std::optional<QuantizeOptions>& quantize);

// Writes that to `file`, in the opset of the network (at least 13 when quantized).
void export_model(const Model& trained, const std::optional<QuantizeOptions>& quantize,
                  const std::filesystem::path& file);

}  // namespace mc
