// The channels of a dependency graph, sorted into groups: what channel_groups() shows and cutting resolves.
#pragma once

#include <cstdint>
#include <vector>

#include "mc/prune/channel_graph.h"
#include "mc/prune/channel_groups.h"

namespace mc {

// Part of a group on one axis class: the indices of channel c are [c * run, (c + 1) * run) of `indices`.
struct ChannelPart {
  AxisId root = kNoAxis;
  int64_t run = 0;
  std::vector<int64_t> indices;
};

struct PartitionGroup {
  std::vector<int32_t> elements;  // of each channel, the number of its class in the graph
  std::vector<ChannelPart> parts;
  ChannelGroup shown;
};

// Groups that can be cut and, behind them, those with an obstacle (which have no `elements`).
std::vector<PartitionGroup> partition_channels(const ChannelGraph& graph);

}  // namespace mc
