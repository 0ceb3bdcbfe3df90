#include "mc/quantize/histogram_loops.h"

#include <algorithm>
#include <limits>

// These loops want more unrolling than the rest of the project.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

// One body, compiled for each level of vector instructions; the processor's best is picked when the program
// loads. Sanitizers run before that choice can be made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MC_HISTOGRAM_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MC_HISTOGRAM_CLONES
#endif

namespace mc::loops {

MC_HISTOGRAM_CLONES BlockExtremes extremes_of(const float* x, int64_t count) {
  // Several vectors at a time hide the latency of a comparison.
  constexpr int64_t kWidth = 64;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  alignas(64) float lows[kWidth], highs[kWidth];
  alignas(64) int32_t nans[kWidth] = {};
  std::fill(lows, lows + kWidth, kInfinity);
  std::fill(highs, highs + kWidth, -kInfinity);
  const auto look = [&](const float* at, int64_t lanes) {
#pragma omp simd
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const float value = at[lane];
      lows[lane] = value < lows[lane] ? value : lows[lane];
      highs[lane] = value > highs[lane] ? value : highs[lane];
      nans[lane] |= value != value;
    }
  };
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) look(x + i, kWidth);
  look(x + i, count - i);
  return {*std::min_element(lows, lows + kWidth), *std::max_element(highs, highs + kWidth),
          *std::max_element(nans, nans + kWidth) != 0};
}

MC_HISTOGRAM_CLONES int32_t bins_of(const float* __restrict x, int64_t count, float bins_per_unit,
                                    int32_t middle, int32_t* __restrict bins) {
  int32_t zeros = 0;
#pragma omp simd reduction(+ : zeros)
  for (int64_t i = 0; i < count; ++i) {
    const float place = x[i] * bins_per_unit;
    const int32_t toward_zero = static_cast<int32_t>(place);
    bins[i] = toward_zero - (static_cast<float>(toward_zero) > place) + middle;
    zeros += x[i] == 0;
  }
  return zeros;
}

}  // namespace mc::loops
