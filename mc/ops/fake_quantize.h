// FakeQuantize: training sees the rounding that deployment will do (Jacob et al., "Quantization and training
// of neural networks for efficient integer-arithmetic-only inference", CVPR 2018, section 3). Activation,
// observation of the range and fake quantization are one autograd function, which reads its input once or
// twice, writes its output once and keeps one bit an element for backward.
//
// The operator, domain "mc", since 1:
//   y = FakeQuantize(x, scale, zero_point, running_min, running_max, flags, histogram)
//   x: floating, any shape. scale, running_min, running_max: float [C] ([1] per tensor); zero_point: int32 of
//   that shape; flags: int64 [2] on the CPU, {observe, quantize}, or [3]: the third counts runs for
//   observe_every. histogram: double, only for that observer. running_min starts as +inf and running_max
//   as -inf ("nothing seen"). Attributes: quant_min, quant_max, axis (-1: per tensor), symmetric, averaging,
//   observer ("moving_average", "min_max", and for axis -1 "percentile" with percentile, "mse", "histogram"),
//   observe_every, block_size, activation ("", "Relu" or "Clip" with clip_min and clip_max).
// In training with flags[0] = 1 the state tensors are updated in place; with flags[1] = 1 y is
// fake-quantized, else it is the activation of x. x is never modified.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"

namespace mc {

struct FakeQuantizeOptions {
  enum class Observer {
    kMovingAverage,  // of the runs' extremes
    kMinMax,         // all that was seen
    kPercentile,     // moving average of percentiles of a subsample
    kMse,            // moving average of the ranges of least squared error of a subsample
    kHistogram,      // the range of least squared error over a histogram of subsamples of all runs
  };
  enum class Activation { kNone, kRelu, kClip };

  int64_t quant_min = -128;
  int64_t quant_max = 127;  // above quant_min; both within 24 bits, so that float holds every level
  int64_t axis = -1;        // of the channels; negative: one scale for the tensor
  bool symmetric = true;
  double averaging = 0.01;  // share of the new range in the moving average, 0 to 1
  Observer observer = Observer::kMovingAverage;
  double percentile = 99.99;  // 50 to 100
  int64_t observe_every = 1;  // runs; only the operator counts them
  // Where above 0, so many neighbours along `axis` share a scale, and every other element has its own: the
  // scales are those of a tensor like x with axis `axis` divided by it, flattened. `axis` is a whole number
  // of blocks.
  int64_t block = 0;
  Activation activation = Activation::kNone;
  float clip_min = -std::numeric_limits<float>::infinity();
  float clip_max = std::numeric_limits<float>::infinity();
};

// The attributes of a FakeQuantize node. Throws Error that names the attribute out of range.
FakeQuantizeOptions fake_quantize_options(const Node& node);

// The state of one FakeQuantize, all on the device of x and updated in place.
struct FakeQuantizeState {
  at::Tensor scale;           // float [C]
  at::Tensor zero_point;      // int32 [C]
  at::Tensor running_min;     // float [C]
  at::Tensor running_max;     // float [C]
  at::Tensor histogram = {};  // double [kHistogramState] (fake_quantize_observers.h); else undefined
};

// How many scales a tensor like x has.
int64_t scale_count(const at::Tensor& x, const FakeQuantizeOptions& options);

// Scales (float) and zero points (int32) for ranges, elementwise. The range is widened to hold 0; symmetric:
// scale = max(|min|, |max|) / ((quant_max - quant_min) / 2) and the zero point is 0, or the middle of the
// range rounded up (128 of 0..255) where quant_min >= 0; else scale = (max - min) / (quant_max - quant_min)
// and zero_point = quant_min - round(min / scale), clamped. A scale is at least float's epsilon. These are
// the formulas of torch.ao.quantization's observers. No host synchronization.
std::pair<at::Tensor, at::Tensor> choose_qparams(const at::Tensor& min, const at::Tensor& max,
                                                 int64_t quant_min, int64_t quant_max, bool symmetric);

// The smallest and largest value of x, float [C] ([1] per tensor), without autograd. NaN is passed over on
// the CPU; x must not be empty.
std::pair<at::Tensor, at::Tensor> observed_range(const at::Tensor& x, int64_t axis);

// The same for the channels or blocks of the options.
std::pair<at::Tensor, at::Tensor> observed_range(const at::Tensor& x, const FakeQuantizeOptions& options);

// Moves the running range by that of activation(x) and sets scale and zero point from it. A range that is not
// finite leaves the state alone.
void observe(const at::Tensor& x, const FakeQuantizeState& state, const FakeQuantizeOptions& options);

// activation(x), fake-quantized with the state's scales: (clamp(round(a / scale) + zero_point, quant_min,
// quant_max) - zero_point) * scale, ties to even, as at::fake_quantize_per_tensor_affine computes it (1 /
// scale is rounded to float first), but NaN stays NaN. Shape, dtype, strides (dense ones) of x. The gradient
// passes straight through where the activation has slope 1 and the level was not clamped.
at::Tensor fake_quantize(const at::Tensor& x, const FakeQuantizeState& state,
                         const FakeQuantizeOptions& options);

}  // namespace mc
