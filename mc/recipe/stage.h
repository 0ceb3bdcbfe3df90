// One stage of a recipe: training with the methods it names, recorded in the run folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/module/graph_module.h"
#include "mc/recipe/inputs.h"
#include "mc/recipe/recipe.h"
#include "mc/recipe/run_folder.h"
#include "mc/report/results.h"

namespace mc {

struct StageOutcome {
  StageResultRow row;
  std::vector<LayerSparsity> sparsity;  // of each weight of convolutions and matrix products
  std::vector<QuantizedLayerResult> layers;
  int64_t parameters = 0;
  int64_t macs = 0;            // of one sample
  double earlier_seconds = 0;  // of row.seconds, those spent by earlier processes; not recorded
};

// What a stage needs beside its options.
struct StageJob {
  StageOptions options;
  Json key;                              // everything that the outcome depends on
  const NetworkInput* data = nullptr;    // training and test data, fields in the network's order
  Model start;                           // the network that the stage begins with
  std::shared_ptr<GraphModule> teacher;  // where it distils
  std::optional<Model> rewind;           // whose weights come back under the last mask, where it prunes so
  uint64_t seed = 0;
};

// Trains, or takes what a finished stage of the same key left; afterwards folder.stage_model(NAME) is the
// network as the stage left it, masks and simulated quantization included. Throws Error; with
// ErrorKind::kInterrupted a checkpoint has been written.
StageOutcome run_stage(const StageJob& job, const LoadedRecipe& loaded, const RunInputs& inputs,
                       RunFolder& folder, MetricsFile& metrics);

// Sparsity, size and cost of a network as it stands.
StageOutcome describe_network(const Model& model);

Json to_json(const StageOutcome& outcome);
StageOutcome stage_outcome_from_json(const Json& json);

}  // namespace mc
