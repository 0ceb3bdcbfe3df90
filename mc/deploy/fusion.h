// Did the engine turn the quantized operators into integer kernels? Read back from what the engine made of
// the file: the optimized graph that ONNX Runtime writes, or the kernels that OpenVINO ran.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/data/dataset.h"
#include "mc/deploy/engine.h"
#include "mc/graph/graph.h"

namespace mc {

// Names of nodes as the engine has them.
struct KernelCheck {
  std::vector<std::string> integer;   // convolutions and matrix products on integers
  std::vector<std::string> floating;  // and those in float
  std::vector<std::string>
      conversions;  // of activations between integers and floats, in kernels of their own
};
Json to_json(const KernelCheck& check);  // {"integer": number, "floating": [name], "conversions": number}

// Of an optimized graph (EngineOptions::optimized_model), subgraphs included.
KernelCheck check_integer_kernels(const Model& optimized);

// Of what a session ran (Session::kernels). Attention that OpenVINO compiles into one kernel is not counted.
KernelCheck check_integer_kernels(const std::vector<KernelRun>& kernels);

// Loads the model and reads its kernels: from a file that is written beside the model and removed again, or
// by running one sample of `data` (random without). Nothing where the engine does not tell. Throws Error
// where the engine cannot load or run the model.
std::optional<KernelCheck> read_kernels(Engine& engine, const std::filesystem::path& model,
                                        const Dataset* data = nullptr);

}  // namespace mc
