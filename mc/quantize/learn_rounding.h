// Learned rounding for post-training quantization: each weight is rounded up or down as keeps the result of
// its layer (AdaRound) or of its block (BRECQ), from samples alone.
//
//   AdaRound: M. Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020, eq.
//   21
//     to 25: layer by layer, the inputs from the model quantized so far, the targets from the float model,
//     the activation function inside the loss.
//   BRECQ: Y. Li et al., "BRECQ: Pushing the limit of post-training quantization by block reconstruction",
//   ICLR
//     2021: all roundings of a block at once, against the block's float result. The ranges of activations
//     stay as they were calibrated, and the squared error is not weighted by Fisher information.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct LearnedRounding {
  std::vector<std::string> layers;  // nodes whose weights were learned together
  // Mean squared error of the region's result over the samples; learned is at most nearest.
  double error_nearest = 0;
  double error_learned = 0;
};

// Learns the roundings of a prepared module whose ranges are set (set_ranges), by options.rounding, and
// writes the result into its float weights: each becomes its level times the scale, so that rounding to
// nearest gives what was learned. Weights of exactly 0, and weights that something else reads too, stay.
// Samples are `rounding_samples` spread over the dataset, whose fields are in the order of the module's
// inputs, in batches of 32 that are mixed anew in every step; where shapes vary or the model fixes its batch,
// batches stay as they are. At most kRegionCacheBytes of activations are held at once; beyond that, samples
// are run again. Throws Error: no samples, a module that is not prepared, kInterrupted; the module has not
// changed then.
std::vector<LearnedRounding> learn_rounding(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                                            const Normalization& normalization,
                                            const QuantizeOptions& options);

// What follows calibration: scales of weights by options.weight_range, then their rounding.
void round_weights(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                   const Normalization& normalization, const QuantizeOptions& options);

}  // namespace mc
