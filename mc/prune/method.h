// Pruning methods: names for combinations of a score, a structure, a scope and what becomes of pruned
// weights. To add one is a line in the list of methods.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mc/prune/kwargs.h"
#include "mc/prune/structure.h"

namespace mc {

class Method;
struct PruneOptions;

enum class PruneScope {
  kLayer,   // a threshold for each weight
  kGroup,   // one for all weights of a group
  kGlobal,  // one for all
};

// What becomes of a weight that is pruned. `none`: it is zero, and so are its chances to come back unless the
// sparsity falls. The others keep its latent value beside the zero that the network computes with: `frozen`
// leaves that as it is (weight decay and momentum still move it), as magnitude methods of
// model_compression_research do; `gradient` trains it by the gradient of the zero in its place
// (straight-through; Wortsman et al. 2019, "Discovering Neural Wirings", eq. 3).
enum class Regrow { kNone, kFrozen, kGradient };

struct PruningMethod {
  std::string name;
  std::string summary;
  std::string score = "magnitude";             // of score_kinds()
  Structure (*structure)(const PruneKwargs&);  // may leave the kwargs unchecked
  std::vector<std::string> structure_kwargs;   // that `structure` reads
  PruneScope scope = PruneScope::kLayer;
  Regrow regrow = Regrow::kNone;
  bool iterative = true;  // for schedules; what is not takes one mask
  bool one_shot = true;
  // What is more than masks of scores: the part in a stage of training. Schedulers refuse it.
  std::shared_ptr<Method> (*stage)(const PruneOptions&) = nullptr;
};

// The names of model_compression_research, and more.
const std::vector<PruningMethod>& pruning_methods();
std::vector<std::string> list_methods();
const PruningMethod& find_pruning_method(const std::string& name);  // Error with the nearest name

// What another method can take over of these kwargs: the sparsities, unless it has its own.
PruneKwargs kwargs_for(const PruningMethod& method, const PruneKwargs& of_another);

// A method and its kwargs as the numbers that masks are made with.
struct PruneSettings {
  std::string score;
  Structure structure;
  std::string group;  // empty: a threshold of its own
  Regrow regrow = Regrow::kNone;
  double target = 0;
  double initial = 0;
  double threshold_decay = 0;
};

// Throws Error for a kwarg that the method does not have (with the nearest it has) and one out of range.
// The target of N:M is 1 - n / m; that of one-shot methods is target_sparsity, else initial_sparsity.
PruneSettings settle_kwargs(const PruningMethod& method, const PruneKwargs& kwargs);

}  // namespace mc
