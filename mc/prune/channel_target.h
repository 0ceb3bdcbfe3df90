// How far to cut: the fewest channels with which a cost is no more than its target.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mc/prune/choose_channels.h"

namespace mc {

// What a model costs, in units of its own.
using ModelCost = std::function<double(const Model&)>;

// Multiply-accumulates of one sample (open dims count as 1), elements of what trains, bytes of the file.
double model_macs(const Model& model);
double model_parameters(const Model& model);
double model_bytes(const Model& model);

struct ChannelPlan {
  std::vector<ChannelCut> cuts;
  int64_t count = 0;  // that choose_channels was given
  double cost = 0;    // of the cut model
};

// Everything that a choice of channels depends on but for their number.
struct ChannelChoice {
  const Model& model;
  const std::vector<ChannelGroup>& groups;
  std::vector<GroupBound> bounds;
  std::vector<std::vector<float>> scores;
  bool global = true;

  std::vector<ChannelCut> cuts(int64_t count) const {
    return choose_channels(groups, bounds, scores, count, global);
  }
};

// The least plan whose cost is at most `limit`, by bisection: more channels gone should cost no more. No cuts
// where the model costs no more as it is. Throws Error that says what is the least that can be reached,
// naming `what` ("MACs"), when everything that may go is not enough.
ChannelPlan plan_channels(const ChannelChoice& choice, const ModelCost& cost, double limit,
                          const std::string& what);

// The plan with this part of all channels gone that may go at all or not ([0, 1)): of the channels of groups
// without an obstacle. Throws Error when bounds do not let so many go.
ChannelPlan plan_ratio(const ChannelChoice& choice, double ratio);

}  // namespace mc
