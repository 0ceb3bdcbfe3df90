// Which channels go: the least important ones, as many as are asked for, with what engines and people demand
// of the widths that stay.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mc/prune/channel_groups.h"
#include "mc/prune/cut.h"

namespace mc {

struct ChoiceOptions {
  bool global = true;    // one ranking over all groups; else every group loses the same part of its channels
  int64_t round_to = 1;  // widths that stay are multiples of it (or what they were)
  int64_t min_channels = 1;  // that stay in each group
  double max_part = 0.9;     // of a group's channels that may go, (0, 1]
  // Patterns of nodes (or type:OPERATOR) or parameters: what these layers give keeps its channels. What they
  // read may be cut.
  std::vector<std::string> ignore;
  std::map<std::string, double> limits;  // pattern -> part of the channels that may go, [0, 1]
  // Channels of groups by name before earlier cuts, which the parts above are of; empty: as they are now.
  std::map<std::string, int64_t> original;
};

// What a group may lose.
struct GroupBound {
  int64_t removable = 0;  // channels
  int64_t step = 1;       // that go together because of round_to
  std::string reason;     // why none may go; empty: some may
};

// By group. Groups with an obstacle have it as the reason. Throws Error: an option out of its range, a
// pattern of `ignore` or `limits` that matches no node and no parameter (with the nearest name).
std::vector<GroupBound> channel_bounds(const Model& model, const std::vector<ChannelGroup>& groups,
                                       const ChoiceOptions& options);

// Channels that may go at all.
int64_t removable_channels(const std::vector<GroupBound>& bounds);

// The cuts when `count` channels were to go: ranked over all groups, or each group its part of what it may
// lose; then rounded to the nearest width allowed. Equal scores: the later channel goes first. `scores` are
// those of GroupScorer.
std::vector<ChannelCut> choose_channels(const std::vector<ChannelGroup>& groups,
                                        const std::vector<GroupBound>& bounds,
                                        const std::vector<std::vector<float>>& scores, int64_t count,
                                        bool global);

}  // namespace mc
