// The same computation in the form that ONNX Runtime runs fastest: its fusions look for patterns, and not
// every kernel that they put in is a gain. Seen with ONNX Runtime 1.32.
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// x * (0.5 * (Erf(..) + 1)) becomes 0.5 * (x * (Erf(..) + 1)), which its fusion to Gelu knows; that takes in
// the bias before it too. Equal to the last bit, since halving is exact. Gives how many.
int order_gelu(Graph& graph);

// An Add that LayerNormalization reads becomes a Sum: else both are fused to SkipLayerNormalization, whose
// kernel takes twice as long as the two. Sums of embeddings stay, which have a fusion of their own. Gives how
// many.
int keep_sums_apart(Graph& graph);

}  // namespace mc
