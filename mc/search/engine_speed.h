// How much faster than the dense network others run on an engine of this machine.
#pragma once

#include <filesystem>

#include "mc/prune/speed_meter.h"
#include "mc/search/latency.h"

namespace mc {

// Networks are written beside `output` in their form for inference, to be timed in turns with the dense one,
// `seconds` each. Throws Error for an engine that is not there.
std::unique_ptr<SpeedMeter> engine_speed(const Model& dense, const std::filesystem::path& output,
                                         const LatencyOptions& options);

}  // namespace mc
