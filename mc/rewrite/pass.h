// Passes rewrite a Model in place. Each has a name, can be switched off, is timed, and the model is
// verified after it. A rewrite keeps the name of the last value it replaces and records in the new
// node's metadata (kSources) the nodes it stands for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct Pass {
  std::string name;
  std::string summary;
  std::function<int(Model&)> run;  // how many places changed
};

struct PassReport {
  std::string name;
  int changes = 0;
  double milliseconds = 0;
};

// All passes in the order in which they are best applied.
const std::vector<Pass>& all_passes();

// Applies the named passes in the given order, verifying after each. Throws Error for an unknown name
// (with the nearest), and for a pass that left a broken model (naming the pass).
std::vector<PassReport> apply_passes(Model& model, const std::vector<std::string>& names);

// What an exported inference model gets: inline_functions, inference_form, infer_shapes, fold_weights,
// drop_identity, fuse_pad, fold_batch_norm, drop_unused. Batch norm is taken in its inference form whatever
// the file's training_mode says.
std::vector<std::string> inference_passes();

// Adds `source`'s provenance (its own name, or the names that it already stands for) to `node`.
void add_source(Node& node, const Node& source);
// The names of the nodes that `node` stands for; its own name where nothing else is recorded.
std::vector<std::string> sources(const Node& node);

}  // namespace mc
