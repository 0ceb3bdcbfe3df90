// Linear layers as torch.onnx.export writes them without optimizing: the weight stands as PyTorch keeps it,
// [out, in], and the graph transposes it in every run.
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// Makes a Gemm that reads the stored weight of every MatMul by a transposed one, with the bias that is added
// behind it; an input of more than two dims becomes rows for it. A layer with a weight of its own can be
// quantized, which a computed weight cannot. Values keep their names, but for that of a MatMul whose bias is
// taken in. Needs opset 15; below it nothing changes. Returns how many layers changed.
int use_stored_weights(Model& model);

}  // namespace mc
