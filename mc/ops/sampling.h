// Operators of the sampling family that fill a file of their own.
#pragma once

#include "mc/ops/op.h"

namespace mc {

Op roi_align_op();
Op max_roi_pool_op();
Op deform_conv_op();

}  // namespace mc
