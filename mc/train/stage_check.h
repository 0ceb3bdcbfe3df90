// What can be known to be wrong before a stage trains.
#pragma once

#include "mc/data/loader.h"
#include "mc/train/trainer.h"

namespace mc {

// Throws Error for options that do not fit together or the data, and for files that cannot be written.
void check_stage(const Loader& loader, const Loader* evaluation, const TrainOptions& options,
                 const StageFiles& files);

}  // namespace mc
