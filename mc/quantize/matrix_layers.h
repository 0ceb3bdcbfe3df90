// The layers that multiply activations by a constant matrix.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct MatrixLayer {
  size_t node = 0;  // index in the outermost graph
  bool rows_first =
      false;            // the weight is stored [rows, inner] (Gemm with transB, Gather), else [inner, rows]
  bool gather = false;  // an embedding: rows are looked up, not multiplied
};

struct MatrixLayers {
  std::vector<MatrixLayer> layers;
  std::vector<LayerQuantization> report;  // of every MatMul and Gemm; of every Gather with `embeddings`
};

// Throws Error where there is no such layer, naming the first obstacle.
MatrixLayers find_matrix_layers(const Model& model, const std::vector<std::string>& keep_float,
                                bool embeddings);

// The layer's weight as [rows, inner].
at::Tensor matrix_of(const Graph& graph, const MatrixLayer& layer);

}  // namespace mc
