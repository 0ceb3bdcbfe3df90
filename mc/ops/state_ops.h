// What stands around the recurrences and caches of language models; each made for one step or many.
#pragma once

#include "mc/ops/op.h"

namespace mc {

Op causal_conv_op();     // CausalConvWithState
Op tensor_scatter_op();  // TensorScatter
Op swiglu_op();          // SwiGLU

}  // namespace mc
