// The range of a weight with few levels: clipping the largest values makes all others finer.
#pragma once

#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/weight_quantizer.h"

namespace mc {

// The scales, shaped as the quantizer's own, with the least squared error of rounding the weight to nearest:
// for each channel the best of the parts 0.05, 0.06 ... 1 of its largest magnitude, as a coarse and a fine
// search see them (as R. Banner et al., NeurIPS 2019, section 3, but on the values themselves).
at::Tensor least_squares_scale(const WeightQuantizer& quantizer);

// Sets the scales of all weights of a prepared module by QuantizeOptions::weight_range. They are in force
// until the module trains on with observing weights.
void set_weight_ranges(GraphModule& prepared, const QuantizeOptions& options);

}  // namespace mc
