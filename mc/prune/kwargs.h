// What can be said of the pruning of a weight, by the names of model_compression_research. What is left out
// is taken from where the rule came from: the defaults of the configuration, then of the method.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/options.h"

namespace mc {

struct PruneKwargs {
  std::optional<double> target_sparsity = {};
  std::optional<double> initial_sparsity = {};
  std::optional<double> threshold_decay = {};
  std::optional<bool> fast_threshold = {};  // taken for compatibility: thresholds are exact and fast anyway
  std::optional<int64_t> block_size = {};
  std::optional<std::vector<int64_t>> block_dims = {};
  std::optional<std::string> pooling_type = {};
  std::optional<int64_t> n = {};
  std::optional<int64_t> m = {};
  std::optional<std::string> group = {};
  std::optional<double> group_target_sparsity = {};
  std::optional<double> group_initial_sparsity = {};
  std::optional<double> group_threshold_decay = {};
  std::optional<std::string> regrow = {};
  std::optional<std::string> pruning_fn = {};  // another method for this weight
  std::optional<std::string> name = {};        // only the parameter of this name in each layer, as "weight"

  // These, and of `base` what is left out here.
  PruneKwargs over(const PruneKwargs& base) const;
  // The names of what is given.
  std::vector<std::string> given() const;

  template <class V>
  void describe(V& v) {
    v.field("target_sparsity", target_sparsity, "part that becomes zero", in_half_open(0, 1));
    v.field("initial_sparsity", initial_sparsity, "sparsity at the beginning", in_half_open(0, 1));
    v.field("threshold_decay", threshold_decay, "part of the old threshold in the new one",
            in_half_open(0, 1));
    v.field("fast_threshold", fast_threshold, "no effect: thresholds are exact and fast anyway");
    v.field("block_size", block_size, "neighbours that lose the same part", at_least(1));
    v.field("block_dims", block_dims, "elements of a block along inputs, outputs and the kernel's axes",
            at_least(1));
    v.field("pooling_type", pooling_type, "score of a block", one_of({"avg", "max"}));
    v.field("n", n, "of n_m_magnitude: how many stay", at_least(1));
    v.field("m", m, "of n_m_magnitude: of how many input channels", at_least(2));
    v.field("group", group, "weights of one group share a threshold");
    v.field("group_target_sparsity", group_target_sparsity, "part of the group that becomes zero",
            in_half_open(0, 1));
    v.field("group_initial_sparsity", group_initial_sparsity, "sparsity of the group at the beginning",
            in_half_open(0, 1));
    v.field("group_threshold_decay", group_threshold_decay,
            "part of the group's old threshold in the new one", in_half_open(0, 1));
    v.field("regrow", regrow, "what becomes of pruned weights", one_of({"none", "frozen", "gradient"}));
    v.field("pruning_fn", pruning_fn, "another method");
    v.field("name", name, "the only parameter of a layer that is meant");
  }
};

}  // namespace mc
