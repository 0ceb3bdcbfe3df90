// Trained networks -> files that engines run.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

// The inference form of a trained network: masks are gone (their zeros stay in the weights), batch norm is
// folded, and simulated quantization, which `quantize` says the network has, becomes
// QuantizeLinear/DequantizeLinear pairs.
Model inference_model(const Model& trained, const std::optional<QuantizeOptions>& quantize);

// Writes that to `file`: in the opset of the network (at least 13 when quantized) where `opset` is "keep",
// else converted to that number. Throws Error that names the nodes that have no form there.
void export_model(const Model& trained, const std::optional<QuantizeOptions>& quantize,
                  const std::filesystem::path& file, const std::string& opset = "keep");

// The same for a model that is in the form to be exported.
void write_exported(Model model, const std::filesystem::path& file, const std::string& opset = "keep");

}  // namespace mc
