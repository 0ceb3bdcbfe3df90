// Everything that a run needs from outside of its recipe, opened and tried before any training.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/graph/graph.h"
#include "mc/recipe/recipe.h"

namespace mc {

// A network, and the data with its fields in the order of the network's inputs.
struct NetworkInput {
  Model model;
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
};

struct RunInputs {
  at::Device device = at::kCPU;
  Normalization normalization;
  NetworkInput student;
  std::optional<NetworkInput> teacher;
  std::string data;  // one line for reports
};

// Opens data, models, engines and the device, and runs the networks on two samples. Throws one Error that
// lists everything wrong with the line and column in the recipe.
RunInputs open_inputs(const LoadedRecipe& loaded);

}  // namespace mc
