#include "mc/prune/method.h"

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
  };
  return methods;
}

}  // namespace mc
