// What `prune` checks beforehand and tells afterwards (prune_file.h). Internal.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "mc/recipe/model_data.h"
#include "mc/recipe/prune_file.h"

namespace mc {

// Method, target and structure by themselves and together. Throws Error.
void check_prune_options(const PruneFileOptions& options);

// Methods that prune layer after layer on the inputs that it gets (calibrated.h).
bool looks_at_inputs(const std::string& method);

// Whether structures of this kind can be ranked over all weights.
bool global_structure(const Structure& structure);

PrunedSize size_of(const std::string& what, const Model& model, const std::filesystem::path& file);

// Weights of layers (two dims or more) whose zeros or shape changed.
std::vector<WeightChange> weight_changes(const Model& before, const Model& after);

// The pattern that all of these weights have; unstructured where they differ.
SparsityPattern common_pattern(const Model& model, const std::vector<WeightChange>& weights);

// Of all outputs on the data: the largest difference by the largest finite element of the first model's. What
// is infinite or NaN in both is no difference, in one of them an infinite one.
double largest_difference(const Model& model, const Model& other, const ModelData& data);

}  // namespace mc
