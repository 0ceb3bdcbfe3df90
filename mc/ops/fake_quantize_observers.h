// Ranges from the values themselves, for observers that clip. All of it stays on the device of the values.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/core/Tensor.h>

#include "mc/ops/fake_quantize.h"

namespace mc {

constexpr int64_t kSubsample = 16384;
constexpr int64_t kErrorSubsample = 4096;  // for searches

// At most `count` elements, evenly spaced over those of x in the order of memory where it is dense, as float
// [n] without autograd.
at::Tensor subsample(const at::Tensor& x, int64_t count = kSubsample);

// A histogram as a tensor: double [kHistogramState], all zeros when empty. 2,048 bins of equal width cover
// [-2^k, 2^k); the last element is k + 1,000. Larger values double the range, which merges bins two by two.
constexpr int64_t kHistogramBins = 2048;
constexpr int64_t kHistogramState = kHistogramBins + 1;

// Adds the values (float [n], n > 0; not at all where one is not finite) to the histogram and gives the range
// of least_error_range() over all that it holds.
std::pair<at::Tensor, at::Tensor> histogram_range(const at::Tensor& values, const at::Tensor& histogram,
                                                  const FakeQuantizeOptions& options);

// The range between the percentiles 100 - p and p of `values` (float [n], n > 0), or for a symmetric grid
// from minus to plus the percentile p of the magnitudes, within what was seen. 0-dim floats.
std::pair<at::Tensor, at::Tensor> percentile_of(const at::Tensor& values, double percentile,
                                                const FakeQuantizeOptions& options);

// The clipped range whose grid has the least squared error over `values` (float [n], n > 0; `weights`, float
// [n], says how often each counts), by a search in a few rounds. 0-dim floats.
std::pair<at::Tensor, at::Tensor> least_error_range(const at::Tensor& values,
                                                    const FakeQuantizeOptions& options,
                                                    const at::Tensor& weights = {});

}  // namespace mc
