// Speed as a target of pruning: measured, by rooms that know engines.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "mc/prune/channel_target.h"

namespace mc {

// Compares networks with the dense one that it was made for.
class SpeedMeter {
 public:
  virtual ~SpeedMeter() = default;
  // How many times faster than the dense network. Throws Error where it cannot be run.
  virtual double speed(const Model& model) = 0;
  // The fewest channels of `choice` without which the network is `factor` times faster than the dense one; no
  // cuts where it is as it is. Throws Error that says what can be reached.
  virtual ChannelPlan plan(const ChannelChoice& choice, double factor) = 0;
};

// By an engine's name and the samples of a batch; the dense network is the one that a stage starts from.
using MakeSpeedMeter = std::function<std::unique_ptr<SpeedMeter>(const std::string&, int64_t)>;

}  // namespace mc
