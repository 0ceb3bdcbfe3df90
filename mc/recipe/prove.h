// What the exported models are worth: measured on engines, from the files.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/recipe/recipe.h"
#include "mc/report/results.h"

namespace mc {

struct ExportedModel {
  std::string name;            // ModelResult::name
  std::filesystem::path file;  // models/NAME.onnx
  // stages/STAGE.onnx, the same as training computed it; empty: another file was converted into this one.
  std::filesystem::path trained;
  bool quantized = false;  // `file` computes on integers, where `trained` simulates them in floats
  std::optional<std::string> original;  // name of the model that it was converted from
  std::string engine_note;              // why engines other than torch cannot run it; empty: they can
  std::shared_ptr<const Dataset> test;
};

struct Proof {
  const Recipe& recipe;
  Normalization normalization;
  std::vector<ExportedModel> models;     // the last one is what the recipe is about
  std::optional<std::string> reference;  // name of the uncompressed one
};

// Evaluates every model on every engine over all test samples, compares the compressed ones with the
// reference, measures latency, and checks what the recipe requires; fills in evaluations, comparisons,
// benchmarks and checks. The last model on each engine is compared with its simulations:
// - "simulated": the exported file as our executor runs it, integer kernels reproduced (fuse_integer);
// - "trained": the network as it left training, quantization simulated in floats.
void prove(const Proof& proof, RunResults& results);

}  // namespace mc
