// A trained model pruned at once by masks: a score, a structure and a scope (score.h, structure.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/graph/graph.h"
#include "mc/prune/structure.h"

namespace mc {

struct OneShotOptions {
  std::string score = "magnitude";  // a name of score_kinds()
  Structure structure = Unstructured{};
  bool global = false;  // one threshold for all weights
  double sparsity = 0.5;
  std::vector<std::string> ignore;  // patterns of parameters
};

struct LayerLeft {
  std::string name;  // of a parameter or a layer
  std::string reason;
};

struct MaskedWeights {
  Model model;  // zeros in the weights, no masks
  std::vector<std::string> pruned;
  std::vector<LayerLeft> left;  // weights of layers that stayed dense, and why
};

// Weights of convolutions, matrix products, embeddings and recurrent layers. A weight that the structure does
// not fit (N:M on too few inputs) is left alone. `batches` are for scores that look at data, inputs in the
// order of the model's (batch_loss.h). Throws Error: a sparsity outside [0, 1), an unknown score, a pattern
// that matches no parameter, no weight that can be pruned, a score that needs data and has none, weights or
// scores that are NaN or infinite, a model that already has as many zeros.
MaskedWeights prune_one_shot(const Model& model, const OneShotOptions& options,
                             const std::vector<Batch>& batches);

// "unstructured", "N:M" (2:4), "block:INPUTSxOUTPUTS" (block:8x4), "uniform:SIZE". Throws Error.
Structure parse_structure(const std::string& text);

}  // namespace mc
