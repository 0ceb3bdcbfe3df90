// As many channels as make a model so many times faster: measured on the engine, not counted.
#pragma once

#include <filesystem>
#include <string>

#include "mc/prune/channel_target.h"
#include "mc/search/latency.h"

namespace mc {

// In the form for inference, as it will be exported.
void write_for_timing(Model model, const std::filesystem::path& file);

struct SpeedPlan {
  ChannelPlan plan;      // cost: milliseconds of the cut model
  double before_ms = 0;  // of the dense model in the last measurement
  double after_ms = 0;
};

// Bisects the number of channels that go, timing each candidate and the dense model in turns, so that drift
// of the machine hits both; the result is then timed for longer, and more channels go as long as that falls
// short by over `options.gain`. `folder` takes the candidates, until the end. Throws Error: a factor of 1 or
// less, one that is not reached with all channels gone that may go (saying what is), an engine that is not
// there, and kInterrupted.
SpeedPlan plan_for_speed(const ChannelChoice& choice, const std::filesystem::path& dense, double factor,
                         const std::filesystem::path& folder, const LatencyOptions& options);

}  // namespace mc
