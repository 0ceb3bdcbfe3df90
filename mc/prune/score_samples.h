// The samples that scores look at, as those that calibrate.
#pragma once

#include "mc/calibration/samples.h"
#include "mc/prune/score.h"

namespace mc {

// Passes over the inputs of `data`, which is held.
Samples score_samples(const ScoreData& data);

}  // namespace mc
