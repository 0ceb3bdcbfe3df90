// What a pruning scheduler is told, by the names of model_compression_research, and the weights that come
// of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "mc/module/parameter_view.h"
#include "mc/prune/kwargs.h"
#include "mc/prune/method.h"
#include "mc/prune/score.h"

namespace mc {

// Layers are named by their modules ("features.0", of the parameter "features.0.weight"; a parameter without
// a dot is its own layer) and found by regular expressions anywhere in the name, as Python's re.search does.
// A pattern that finds nothing is an Error.
struct PruningConfig {
  std::string pruning_fn = "unstructured_magnitude";
  PruneKwargs pruning_fn_default_kwargs;

  // Which kinds of layers: Linear, Conv1d, Conv2d, Conv3d, ConvTranspose1d..., Embedding, RNN (of any kind).
  // Empty: all of them.
  std::map<std::string, PruneKwargs> prune_layer_types;
  std::vector<std::string> not_to_prune;
  // Kwargs for some of these layers; two patterns that find the same one are an Error.
  std::map<std::string, PruneKwargs> weight_sparsity_map;
  // Layers pruned whatever their kind and not_to_prune say.
  std::map<std::string, PruneKwargs> explicit_prune;

  // How target_sparsity is spread over the weights. uniform: each has it. er, erk: Erdos-Renyi without and
  // with the kernel (then weight_sparsity_map is ignored, as there). global: one threshold for all.
  // sensitivity: searched by what pruning each weight alone does to the loss on `data` (sensitivity.h).
  std::string init_strategy = "uniform";

  // Last word on single parameters, by name or pattern with * and ?, in order of the patterns.
  struct Override {
    std::optional<std::string> pruning_fn;
    std::optional<PruneKwargs> kwargs;
    bool not_to_prune = false;
  };
  std::map<std::string, Override> weights;

  int64_t initial_step = 0;  // above 0: a run that goes on; masks stay as they are until the next is due
  ScoreData data;            // for scores that look at samples
};

// A weight that will be pruned.
struct PruneTarget {
  std::string name;
  at::Tensor parameter;
  WeightAxes axes;
  const PruningMethod* method = nullptr;
  PruneSettings settings;
};

// All that the configuration says of a module, in the order of its parameters. Throws Error, with the
// weight's name, for bad kwargs, unknown methods, structures that a weight cannot have (all such weights at
// once), a pattern that finds nothing (with the nearest name), and when nothing is left to prune.
std::vector<PruneTarget> prune_targets(torch::nn::Module& module, const PruningConfig& config);

// Convolution, linear, embedding and recurrent weights.
bool is_prunable(ParameterKind kind);

}  // namespace mc
