// The inner loops of Histogram: plain arrays in, plain arrays out, vectorized for the processor that runs
// them.
#pragma once

#include <cstdint>

namespace mc::loops {

struct BlockExtremes {
  float low;  // NaN is passed over; +inf and -inf where nothing else is there
  float high;
  bool has_nan;
};

BlockExtremes extremes_of(const float* x, int64_t count);

// bins[i] = floor(x[i] * bins_per_unit) + middle, for finite x whose bins are within int32. Gives how many
// elements are 0.
int32_t bins_of(const float* x, int64_t count, float bins_per_unit, int32_t middle, int32_t* bins);

}  // namespace mc::loops
