// The inner loops of Histogram: plain arrays in, plain arrays out, vectorized for the processor that runs
// them.
#pragma once

#include <cstdint>

namespace mc::loops {

// Elements handled at a time; what a loop reads twice is then still in the cache nearest to the core.
inline constexpr int64_t kHistogramBlock = 4096;

struct BlockSummary {
  float low;  // NaN is passed over; +inf and -inf where nothing else is there
  float high;
  bool has_nan;
  int64_t zeros;  // how many are 0
};

BlockSummary summarize(const float* x, int64_t count);

// bins[i] = floor(x[i] * bins_per_unit) + middle, for finite x whose bins are within int32.
void bins_of(const float* x, int64_t count, float bins_per_unit, int32_t middle, int32_t* bins);

}  // namespace mc::loops
