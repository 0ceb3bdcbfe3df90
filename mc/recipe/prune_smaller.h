// What `prune` does by methods of channels and of residual blocks (prune_file.h). Internal.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "mc/calibration/samples.h"
#include "mc/data/dataset.h"
#include "mc/recipe/prune_file.h"
#include "mc/search/latency.h"

namespace mc {

// Asked only where a method looks at samples.
struct PruneSamples {
  std::function<std::vector<Batch>()> batches;  // with labels, for gradients
  std::function<Samples()> inputs;              // for blocks
};

// The smaller model; the report gets its blocks, left, round_to, cut_error, cut_note and the size of the
// sparse model. Throws Error as prune_file does.
Model prune_smaller(const Model& model, const PruneSamples& samples, PruneFileReport& report);

LatencyOptions prune_latency(const PruneFileOptions& options);

void write_pruned(Model model, const std::filesystem::path& file);

}  // namespace mc
