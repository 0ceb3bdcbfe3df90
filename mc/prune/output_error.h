// How far a network's outputs have moved, in the place of a loss where there are no labels.
#pragma once

#include "mc/calibration/samples.h"
#include "mc/module/graph_module.h"
#include "mc/prune/score.h"

namespace mc {

// The batches of one pass, held, and as their loss the squared error of the module's floating-point outputs
// over the mean squared size, against the outputs that it has now. The module must outlive the result. Throws
// Error where there are no samples, and where the outputs are all 0 or hold NaN or infinity.
ScoreData output_error(GraphModule& module, const Samples& samples);

}  // namespace mc
