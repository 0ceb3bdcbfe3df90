// Pruning as a part of a training stage.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/options.h"
#include "mc/prune/channel_method.h"
#include "mc/prune/kwargs.h"
#include "mc/prune/method.h"
#include "mc/prune/score.h"
#include "mc/prune/sparsity_schedule.h"
#include "mc/train/method.h"

namespace mc {

// What a stage's `method` may be: list_methods(), then those that cut channels (importance.h) and take out
// residual blocks (block_order.h).
std::vector<std::string> stage_methods();

struct PruneOptions {
  std::string method = "unstructured_magnitude";
  std::optional<double> target_sparsity;  // left out: 0.8, or what the method says itself
  double initial_sparsity = 0.0;
  double begin = 0.0;  // parts of the stage's steps
  double end = 0.6;
  int64_t frequency = 10;
  std::string schedule = "cubic";
  int64_t cycles = 3;
  std::string distribution = "uniform";
  int64_t block_size = 4;
  std::vector<int64_t> block_dims = {4};
  std::string pooling_type = "avg";
  int64_t n = 2;
  int64_t m = 4;
  double threshold_decay = 0.0;
  std::string regrow = "method";
  std::vector<std::string> layer_types;
  std::map<std::string, PruneKwargs> layers;
  std::vector<std::string> keep_dense;
  std::string rewind;
  int64_t score_batches = 8;
  double gate_lr = 0.05;
  double gate_price = 0.0;
  double gate_threshold = 0.1;
  ChannelPruneOptions channels;  // of methods that cut channels; its keys stand beside the others

  template <class V>
  void describe(V& v) {
    v.field("method", method, "what is pruned", one_of(stage_methods()));
    v.field("target_sparsity", target_sparsity,
            "part of the weights that becomes zero; null: 0.8, or what n and m say", in_half_open(0, 1));
    v.field("initial_sparsity", initial_sparsity, "sparsity at the beginning", in_half_open(0, 1));
    v.field("begin", begin, "part of the stage's steps after which sparsity starts to grow", between(0, 1));
    v.field("end", end, "part of the stage's steps after which the target is reached", between(0, 1));
    v.field("frequency", frequency, "steps between two new masks", at_least(1));
    v.field("schedule", schedule, "how sparsity grows", one_of(sparsity_schedule_names()));
    v.field("cycles", cycles, "of the schedule cyclic", at_least(1));
    v.field("distribution", distribution, "how target_sparsity is spread over the weights",
            one_of({"uniform", "er", "erk", "global", "sensitivity"}));
    v.field("block_size", block_size, "of uniform methods: neighbours that lose the same part", at_least(1));
    v.field("block_dims", block_dims,
            "of block methods: elements along inputs, outputs and the kernel's axes; one number for both "
            "channels",
            at_least(1));
    v.field("pooling_type", pooling_type, "of block methods: the score of a block", one_of({"avg", "max"}));
    v.field("n", n, "of n_m_magnitude: how many stay", at_least(1));
    v.field("m", m, "of n_m_magnitude: of how many input channels", at_least(2));
    v.field("threshold_decay", threshold_decay, "part of the old threshold in the new one",
            in_half_open(0, 1));
    v.field("regrow", regrow, "what becomes of pruned weights; method: as the method has it",
            one_of({"method", "none", "frozen", "gradient"}));
    v.field("layer_types", layer_types,
            "kinds of layers to prune: Linear, Conv2d, Embedding, RNN, ...; none: all");
    v.field("layers", layers, "other settings for some parameters, by name or pattern");
    v.field("keep_dense", keep_dense, "parameters left alone, by name or pattern");
    v.field(
        "rewind", rewind,
        "stage whose weights come back under the last mask (lottery tickets); start: those of the network "
        "as it came");
    v.field("score_batches", score_batches, "batches for scores and distributions that look at samples",
            at_least(1));
    v.field("gate_lr", gate_lr, "of l0 and soft_movement: learning rate of the gates", above(0));
    v.field("gate_price", gate_price,
            "of l0 and soft_movement: added to the loss for every open gate; 0: as target_sparsity asks for",
            at_least(0));
    v.field("gate_threshold", gate_threshold, "of soft_movement: a gate is open above it",
            between(0.001, 0.499));
    channels.describe(v);
  }
  bool is_one_shot() const;
  void check() const;  // throws Error for settings that do not fit each other
};

// The first `count` batches of the stage's training data, with its loss.
ScoreData score_data(const StageContext& context, int64_t count);

// Values by initializer name that weights are set back to under the last mask: `rewind`, empty for none. A
// speed-up needs `meter`. Throws Error as PruneOptions::check.
std::shared_ptr<Method> make_prune_method(const PruneOptions& options,
                                          std::map<std::string, at::Tensor> rewind = {},
                                          const MakeSpeedMeter& meter = {});

}  // namespace mc
