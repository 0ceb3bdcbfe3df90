// FakeQuantize by ATen's operators: for other devices than the CPU, and for types and layouts that the CPU's
// own loops do not take. Floats need few kernels, and nothing here waits for the device.
#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include "mc/ops/fake_quantize.h"

namespace mc {

// What the options' activation makes of x.
at::Tensor activated(const at::Tensor& x, const FakeQuantizeOptions& options);

// A parameter of one number a channel ([1] where axis < 0), shaped so that it broadcasts to x.
at::Tensor spread_along(const at::Tensor& parameter, const at::Tensor& x, int64_t axis);

// The same for the channels or blocks of the options.
at::Tensor spread_scales(const at::Tensor& parameter, const at::Tensor& x,
                         const FakeQuantizeOptions& options);

// fake_quantize() of x, and a boolean mask of where its gradient passes.
std::pair<at::Tensor, at::Tensor> fake_quantize_composed(const at::Tensor& x, const FakeQuantizeState& state,
                                                         const FakeQuantizeOptions& options);

}  // namespace mc
