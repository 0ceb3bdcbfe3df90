// Linear layers as PyTorch's exporter writes them: MatMul(x, Transpose(W)), with W of one row an output.
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct TransposedWeight {
  Node transpose;
  Tensor rows;  // the weight as it was
};

// MatMul reads such weights directly: each initializer takes its transposed values, until
// give_transposes_back. Only of float32 matrices that nothing else reads.
std::vector<TransposedWeight> take_transposes(Graph& graph);

// The initializers as they were. A quantizer that stands before one by now goes on rows, and the Transpose
// stands behind it, so that what trains is the weight itself.
void give_transposes_back(Graph& graph, const std::vector<TransposedWeight>& weights);

// Before conversion: quantizers of rows with a Transpose behind them become quantizers of the transposed
// values, which are constants of the converted model.
void fold_quantized_transposes(Graph& graph);

}  // namespace mc
