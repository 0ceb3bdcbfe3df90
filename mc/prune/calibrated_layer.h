// One layer pruned by what its inputs look like. Internal.
#pragma once

#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/calibration/input_statistics.h"
#include "mc/graph/graph.h"
#include "mc/prune/structure.h"

namespace mc {

struct LayerTask {
  const Node& node;                         // Conv, Gemm or MatMul
  at::Tensor weight;                        // in the initializer's shape, on the CPU
  at::Tensor mask;                          // what is pruned already stays so; may be undefined
  const InputStatistics* inputs = nullptr;  // of layer_input(); magnitude needs none
  double sparsity = 0;
  const Structure& structure;
  double damping = 0.01;
  bool refit = true;
  bool biased = false;  // a bias can take up the mean of what the outputs lose
};

struct PrunedLayer {
  at::Tensor weight;
  at::Tensor keep;                   // bool
  std::optional<double> error = {};  // squared, of the outputs, over their squared size
  at::Tensor bias_change = {};       // double [outputs]; undefined where not biased
};

PrunedLayer prune_layer(const std::string& method, const LayerTask& task);

// Output and input channels of the weight of a Conv, Gemm or MatMul.
WeightAxes matrix_axes(const Node& node);

}  // namespace mc
