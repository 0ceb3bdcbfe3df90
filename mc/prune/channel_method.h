// Structured pruning while training: channels are cut out of the live module in steps, and what is left
// trains on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/options.h"
#include "mc/prune/block_order.h"
#include "mc/prune/speed_meter.h"
#include "mc/train/method.h"

namespace mc {

// Keys of a stage's `prune` that only methods of channels read, or of residual blocks.
struct ChannelPruneOptions {
  std::optional<double> macs;           // part that stays, (0, 1]
  std::optional<double> parameters;     // likewise
  std::optional<double> channel_ratio;  // part of the channels that goes, [0, 1)
  std::optional<double> speedup;        // times faster on `engine`, above 1
  std::string engine = "onnxruntime";
  int64_t latency_batch = 1;
  std::string blocks = "none";        // of methods of channels: the method by which blocks go first
  std::optional<double> block_ratio;  // part of the residual blocks that goes, [0, 1]
  int64_t cuts = 5;                   // in how many steps
  std::string ranking = "global";
  int64_t round_to = 8;
  int64_t min_channels = 1;
  double max_part = 0.9;
  std::map<std::string, double> limits;
  double group_lasso = 0;
  double slimming = 0;

  template <class V>
  void describe(V& v) {
    v.field("macs", macs,
            "channels_*, blocks_*: part of the multiply-accumulates that stays; the default target of "
            "channels, 0.5",
            between(0.001, 1));
    v.field("parameters", parameters, "channels_*, blocks_*: part of the parameters that stays",
            between(0.001, 1));
    v.field("channel_ratio", channel_ratio, "channels_*: part of the channels that goes", in_half_open(0, 1));
    v.field("speedup", speedup, "channels_*, blocks_*: how many times faster on the engine, measured",
            above(1));
    v.field("engine", engine, "of speedup: where networks are timed");
    v.field("latency_batch", latency_batch, "of speedup: samples of a batch", at_least(1));
    v.field("blocks", blocks,
            "channels_*: residual blocks go first, by this method, for half of the way to the target on a "
            "logarithmic scale or as block_ratio says",
            one_of(with_none(block_method_names())));
    v.field("block_ratio", block_ratio, "blocks_*, or with blocks: part of the residual blocks that goes",
            between(0, 1));
    v.field("cuts", cuts, "channels_*: in how many steps channels are cut from begin to end", at_least(1));
    v.field("ranking", ranking, "channels_*: all layers together, or each loses the same part",
            one_of({"global", "layer"}));
    v.field("round_to", round_to, "channels_*: widths that stay are multiples of it", at_least(1));
    v.field("min_channels", min_channels, "channels_*: that stay in each layer", at_least(1));
    v.field("max_part", max_part, "channels_*: part of a layer's channels that may go", between(0.001, 1));
    v.field("limits", limits, "channels_*: the same for layers by name or pattern", between(0, 1));
    v.field("group_lasso", group_lasso,
            "channels_*: weight of the sum of the channels' norms, added to the loss until the last cut",
            at_least(0));
    v.field("slimming", slimming,
            "channels_*: weight of the sum of batch-norm scales' magnitudes, added to the loss until the "
            "last cut",
            at_least(0));
  }
};

struct ChannelMethodPlan {
  std::string method;  // a name of importances()
  ChannelPruneOptions options;
  double begin = 0, end = 0.6;      // parts of the stage's steps between which is cut
  std::vector<std::string> ignore;  // ChoiceOptions::ignore
  int64_t score_batches = 8;        // by which blocks are judged
};

// Throws Error for settings that do not fit each other, which make_channel_method does too.
void check_channel_plan(const ChannelMethodPlan& plan);

// Cut k of n aims at 1 - (1 - target)(1 - (1 - k/n)^3) of the whole network's cost, as the cubic schedule has
// it for weights; MACs and parameters are counted of the cut model. Kinds that need gradients take those of
// all steps since the cut before, and wait for at least 16. Group lasso: Wen et al. 2016, "Learning
// structured sparsity", eq. 2, over the weights that produce a channel; slimming: Liu et al. 2017, eq. 1.
// Both act on the gradients, not on the loss that is reported. For a speed-up the number of MACs that gives
// it is found when the stage begins, and measured again at the last cut. The method throws Error at the
// stage's begin for several targets, for a speed-up without `meter`, and for what channel_bounds,
// plan_channels, BlockOrder and the meter refuse.
std::shared_ptr<Method> make_channel_method(const ChannelMethodPlan& plan, const MakeSpeedMeter& meter = {});

}  // namespace mc
