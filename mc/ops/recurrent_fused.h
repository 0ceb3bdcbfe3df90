// The recurrent operators through LibTorch's own (oneDNN and cuDNN behind them). Internal to the room.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/ops/recurrent_cells.h"

namespace mc {

// Whether LibTorch's operator computes the same, but for what only a run tells (empty inputs).
bool fits_fused(const RecurrentSpec& spec, const Node& node);

// The weights as LibTorch's operators take them, by direction: both matrices, both biases (none where `bias`
// is undefined). All are views of one buffer laid out as cuDNN wants it (matrices of all directions, then
// biases), so that one copy, with its gradient, is all that the other order of gates costs.
std::vector<at::Tensor> fused_parameters(CellKind kind, const at::Tensor& weights,
                                         const at::Tensor& recurrence, const at::Tensor& bias);

// Runs over at least one step and one row.
RecurrentResult run_fused(const RecurrentSpec& spec, const RecurrentRun& run,
                          const std::vector<at::Tensor>& parameters);

}  // namespace mc
