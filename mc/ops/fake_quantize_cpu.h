// FakeQuantize on the CPU for float and bfloat16 tensors that are dense (any order of axes, no gaps): the
// elements are walked in the order of memory, in parallel, a block at a time.
#pragma once

#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/ops/fake_quantize.h"

namespace mc {

// Whether x is such a tensor.
bool takes_own_loops(const at::Tensor& x);

// The result and, `with_bits`, int32 words that hold a bit for each element (fake_quantize_loops.h says how).
std::pair<at::Tensor, at::Tensor> fake_quantize_cpu(const at::Tensor& x, const FakeQuantizeState& state,
                                                    const FakeQuantizeOptions& options, bool with_bits);

// The gradient where the bits say so; `strides` are those of the x that the bits were made for.
at::Tensor apply_bits_cpu(const at::Tensor& grad, const at::Tensor& bits,
                          const std::vector<int64_t>& strides);

// observed_range() of such a tensor.
std::pair<at::Tensor, at::Tensor> range_cpu(const at::Tensor& x, int64_t axis);

// What learned scales need from backward (fake_quantize_learned.h).
struct LearnedGradients {
  at::Tensor x;        // like x: the gradient where it passes
  at::Tensor scale;    // float [C]: sum of grad times (level - zero point - x / scale where not clamped)
  at::Tensor clamped;  // float [C]: sum of grad where the level was clamped
};

// Whether the channels lie so that these loops are worth it: in runs, and not interleaved.
bool takes_learned_loops(const at::Tensor& x, int64_t axis);

// One pass over x and its gradient, whose strides may be others. The sums do not depend on the threads.
LearnedGradients learned_gradients_cpu(const at::Tensor& x, const at::Tensor& grad,
                                       const FakeQuantizeState& state, const FakeQuantizeOptions& options);

}  // namespace mc
