// Operators of the sampling family that fill a file of their own.
#pragma once

#include "mc/ops/op.h"

namespace mc {

Op roi_align_op();
Op max_roi_pool_op();
Op deform_conv_op();

// The output [regions, channels, height, width] of an operator that pools regions (input 1, [regions, n]) of
// images (input 0, [batch, channels, H, W]). Throws Error for other ranks.
void infer_regions(InferContext& context, int64_t height, int64_t width);

}  // namespace mc
