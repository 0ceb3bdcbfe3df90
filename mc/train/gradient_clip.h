// Gradient clipping by the total norm (Pascanu et al. 2013, algorithm 1).
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

// Scales the gradients of `parameters` in place so that the 2-norm of all of them together is at most
// `max_norm`. Gives the norm before (a scalar on their device; nothing is synchronized); undefined when
// there is no gradient.
at::Tensor clip_gradients(const std::vector<at::Tensor>& parameters, double max_norm);

}  // namespace mc
