#include "mc/prune/method.h"
#include "mc/prune/stages.h"

namespace mc {
namespace {

Structure elements(const PruneKwargs&) {
  return Unstructured{};
}
Structure uniform(const PruneKwargs& kwargs) {
  return Uniform{kwargs.block_size.value_or(1)};
}
Structure blocks(const PruneKwargs& kwargs) {
  return Blocks{kwargs.block_dims.value_or(std::vector<int64_t>{1}), kwargs.pooling_type.value_or("avg")};
}
Structure n_to_m(const PruneKwargs& kwargs) {
  return NToM{kwargs.n.value_or(2), kwargs.m.value_or(4)};
}
Structure nonzero(const PruneKwargs&) {
  return Nonzero{};
}

const std::vector<std::string> kUniform = {"block_size"};
const std::vector<std::string> kBlocks = {"block_dims", "pooling_type"};
const std::vector<std::string> kNToM = {"n", "m"};

}  // namespace

const std::vector<PruningMethod>& pruning_methods() {
  static const std::vector<PruningMethod> methods = {
      {.name = "unstructured_magnitude",
       .summary = "the smallest elements of each weight (Han et al. 2015)",
       .structure = elements,
       .structure_kwargs = {}},
      {.name = "uniform_magnitude",
       .summary = "the same part of each block_size neighbours",
       .structure = uniform,
       .structure_kwargs = kUniform},
      {.name = "block_structured_magnitude",
       .summary = "the smallest blocks of each weight",
       .structure = blocks,
       .structure_kwargs = kBlocks},
      {.name = "grouped_unstructured_magnitude",
       .summary = "the smallest elements of the weights of each group",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGroup},
      {.name = "global_unstructured_magnitude",
       .summary = "the smallest elements of all weights together",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal},
      {.name = "unstructured_neural_wiring",
       .summary = "unstructured_magnitude of latent weights that all train (Wortsman et al. 2019)",
       .structure = elements,
       .structure_kwargs = {},
       .regrow = Regrow::kGradient,
       .one_shot = false},
      {.name = "uniform_neural_wiring",
       .summary = "uniform_magnitude of latent weights that all train",
       .structure = uniform,
       .structure_kwargs = kUniform,
       .regrow = Regrow::kGradient,
       .one_shot = false},
      {.name = "block_structured_neural_wiring",
       .summary = "block_structured_magnitude of latent weights that all train",
       .structure = blocks,
       .structure_kwargs = kBlocks,
       .regrow = Regrow::kGradient,
       .one_shot = false},
      {.name = "n_m_magnitude",
       .summary = "all but the n largest of each m input channels (Mishra et al. 2021)",
       .structure = n_to_m,
       .structure_kwargs = kNToM},
      {.name = "pattern_lock",
       .summary = "what is zero already stays zero",
       .structure = nonzero,
       .structure_kwargs = {},
       .iterative = false},
      {.name = "movement",
       .summary = "what moves towards zero while training (Sanh et al. 2020)",
       .score = "movement",
       .structure = elements,
       .structure_kwargs = {},
       .regrow = Regrow::kFrozen,
       .one_shot = false},
      {.name = "taylor",
       .summary = "what changes the loss least to first order, while training (Molchanov et al. 2019)",
       .score = "taylor",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal,
       .one_shot = false},
      {.name = "snip",
       .summary = "the least sensitive connections of a few batches (Lee et al. 2019)",
       .score = "snip",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal},
      {.name = "grasp",
       .summary = "what preserves the flow of gradients least (Wang et al. 2020)",
       .score = "grasp",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal},
      {.name = "synflow",
       .summary = "the least synaptic flow, without data (Tanaka et al. 2020)",
       .score = "synflow",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal},
      {.name = "hessian",
       .summary = "optimal brain damage with the Fisher information (LeCun et al. 1989)",
       .score = "hessian",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal},
      {.name = "wanda",
       .summary = "the least weight times input of each output (Sun et al. 2024)",
       .score = "wanda",
       .structure = elements,
       .structure_kwargs = {}},
      {.name = "n_m_wanda",
       .summary = "all but the n best of each m input channels by weight times input",
       .score = "wanda",
       .structure = n_to_m,
       .structure_kwargs = kNToM},
      {.name = "soft_movement",
       .summary = "gates that learn while training, open above a threshold (Sanh et al. 2020)",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal,
       .one_shot = false,
       .stage = make_soft_movement_stage},
      {.name = "l0",
       .summary = "hard concrete gates that learn while training (Louizos et al. 2018)",
       .structure = elements,
       .structure_kwargs = {},
       .scope = PruneScope::kGlobal,
       .one_shot = false,
       .stage = make_l0_stage},
      {.name = "sparsegpt",
       .summary = "one mask from samples, whose layers make up for it (Frantar and Alistarh 2023)",
       .structure = elements,
       .structure_kwargs = {},
       .stage = make_sparsegpt_stage},
      {.name = "n_m_sparsegpt",
       .summary = "the same with n of each m input channels",
       .structure = n_to_m,
       .structure_kwargs = kNToM,
       .stage = make_sparsegpt_stage},
  };
  return methods;
}

}  // namespace mc
