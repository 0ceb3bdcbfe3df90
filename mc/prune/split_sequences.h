// A list of tensors hides which channels go where.
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// SplitToSequence whose parts are read by SequenceAt at constant places becomes Split (exporters write
// PyTorch's split and chunk so). Needs inferred types. Returns how many did.
int split_sequences(Model& model);

}  // namespace mc
