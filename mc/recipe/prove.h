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
  std::string name;               // ModelResult::name
  std::filesystem::path file;     // models/NAME.onnx
  std::filesystem::path trained;  // stages/STAGE.onnx: the same as it was simulated
  std::shared_ptr<const Dataset> test;
};

struct Proof {
  const Recipe& recipe;
  Normalization normalization;
  std::vector<ExportedModel> models;     // the last one is what the recipe is about
  std::optional<std::string> reference;  // name of the uncompressed one
};

// Evaluates every model on every engine over all test samples, compares the compressed ones with the
// reference and each engine with what was simulated, measures latency, and checks what the recipe
// requires; fills in evaluations, comparisons, benchmarks and checks.
void prove(const Proof& proof, RunResults& results);

}  // namespace mc
