#include "mc/ops/fake_quantize_loops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

// These loops want more unrolling than the rest of the project.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

// One body, compiled for each level of vector instructions; the processor's best is picked when the program
// loads. Sanitizers run before that choice can be made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MC_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MC_VECTORIZED
#endif
#define MC_INLINE inline __attribute__((always_inline))

namespace mc::loops {
namespace {

MC_INLINE float load(float value) {
  return value;
}

MC_INLINE float load(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

MC_INLINE void store(float value, float& to) {
  to = value;
}

// Rounds to bfloat16, ties to even. A NaN stays one: here its low half is always zero, so nothing carries.
MC_INLINE void store(float value, uint16_t& to) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  to = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

MC_INLINE float select(float value, uint32_t keep) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & (0u - keep));
}

MC_INLINE uint16_t select(uint16_t value, uint32_t keep) {
  return static_cast<uint16_t>(value & (0u - keep));
}

template <bool kBits, class T>
MC_INLINE void whole_block(const T* __restrict x, T* __restrict y, uint32_t* __restrict bits,
                           const Scales& scales, const Range range) {
  uint32_t words[kLanes] = {};
  for (int64_t row = 0; row < kBlock / kLanes; ++row) {
    const int64_t at = row * kLanes;
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = load(x[at + lane]);
      float active = value < range.low ? range.low : value;
      active = active > range.high ? range.high : active;
      const float zero = scales.zero[at + lane];
      const float level = std::nearbyint(active * scales.inverse[at + lane]) + zero;
      float clamped = level < range.quant_min ? range.quant_min : level;
      clamped = clamped > range.quant_max ? range.quant_max : clamped;
      store((clamped - zero) * scales.scale[at + lane], y[at + lane]);
      if constexpr (kBits) {
        // A level that clamping left as it was is inside the range; NaN equals nothing.
        const bool passes = (level == clamped) & (value > range.pass_above) & (value <= range.pass_up_to);
        words[lane] |= static_cast<uint32_t>(passes) << row;
      }
    }
  }
  if constexpr (kBits) std::copy(words, words + kLanes, bits);
}

template <class T>
MC_INLINE void any_block(const T* x, T* y, uint32_t* bits, int64_t count, const Scales& scales,
                         const Range& range) {
  T padded[kBlock], result[kBlock];
  const bool whole = count == kBlock;
  if (!whole) {
    std::copy(x, x + count, padded);
    std::fill(padded + count, padded + kBlock, T{});
  }
  const T* from = whole ? x : padded;
  T* to = whole ? y : result;
  if (bits) {
    whole_block<true>(from, to, bits, scales, range);
  } else {
    whole_block<false>(from, to, bits, scales, range);
  }
  if (!whole) std::copy(result, result + count, y);
}

template <class T>
MC_INLINE void select_block(const T* __restrict from, T* __restrict to, const uint32_t* __restrict bits,
                            int64_t count) {
  const int64_t rows = count / kLanes;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = row * kLanes;
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      to[at + lane] = select(from[at + lane], (bits[lane] >> row) & 1u);
    }
  }
  for (int64_t i = rows * kLanes; i < count; ++i) to[i] = select(from[i], (bits[i % kLanes] >> rows) & 1u);
}

template <class T>
MC_INLINE void learned_element(T x, T grad, T& to, const OneScale one, const Range range, float& by_scale,
                               float& outside) {
  const float value = load(x), g = load(grad);
  float active = value < range.low ? range.low : value;
  active = active > range.high ? range.high : active;
  const float steps = active * one.inverse;
  const float level = std::nearbyint(steps) + one.zero;
  float clamped = level < range.quant_min ? range.quant_min : level;
  clamped = clamped > range.quant_max ? range.quant_max : clamped;
  const bool inside = level == clamped;
  const bool passes = inside & (value > range.pass_above) & (value <= range.pass_up_to);
  const float rest = select(steps, inside);
  by_scale += g * (clamped - one.zero - rest);
  outside += select(g, !inside);
  to = select(grad, passes);
}

template <class T>
MC_INLINE LearnedSums learned_elements(const T* __restrict x, const T* __restrict grad_y,
                                       T* __restrict grad_x, int64_t count, const OneScale one,
                                       const Range range) {
  // Two vectors at a time hide the latency of an addition.
  constexpr int64_t kWidth = 2 * kLanes;
  alignas(64) float by_scale[kWidth] = {}, outside[kWidth] = {};
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
#pragma omp simd
    for (int64_t lane = 0; lane < kWidth; ++lane) {
      const int64_t at = i + lane;
      learned_element(x[at], grad_y[at], grad_x[at], one, range, by_scale[lane], outside[lane]);
    }
  }
  for (; i < count; ++i)
    learned_element(x[i], grad_y[i], grad_x[i], one, range, by_scale[i % kWidth], outside[i % kWidth]);
  LearnedSums sums;
  for (int64_t lane = 0; lane < kWidth; ++lane) {
    sums.scale += by_scale[lane];
    sums.clamped += outside[lane];
  }
  return sums;
}

template <class T>
MC_INLINE void each_extreme(const T* __restrict x, int64_t count, float* __restrict low,
                            float* __restrict high) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float value = load(x[i]);
    low[i] = value < low[i] ? value : low[i];
    high[i] = value > high[i] ? value : high[i];
  }
}

template <class T>
MC_INLINE void extremes(const T* x, int64_t count, float& low, float& high) {
  // Four vectors at a time hide the latency of a comparison.
  constexpr int64_t kWidth = 4 * kLanes;
  alignas(64) float lows[kWidth], highs[kWidth];
  std::fill(lows, lows + kWidth, low);
  std::fill(highs, highs + kWidth, high);
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
#pragma omp simd
    for (int64_t lane = 0; lane < kWidth; ++lane) {
      const float value = load(x[i + lane]);
      lows[lane] = value < lows[lane] ? value : lows[lane];
      highs[lane] = value > highs[lane] ? value : highs[lane];
    }
  }
  each_extreme(x + i, count - i, lows, highs);
  low = *std::min_element(lows, lows + kWidth);
  high = *std::max_element(highs, highs + kWidth);
}

}  // namespace

MC_VECTORIZED void fake_quantize(const float* x, float* y, uint32_t* bits, int64_t count,
                                 const Scales& scales, const Range& range) {
  any_block(x, y, bits, count, scales, range);
}

MC_VECTORIZED void fake_quantize(const uint16_t* x, uint16_t* y, uint32_t* bits, int64_t count,
                                 const Scales& scales, const Range& range) {
  any_block(x, y, bits, count, scales, range);
}

MC_VECTORIZED void apply_bits(const float* grad_y, float* grad_x, const uint32_t* bits, int64_t count) {
  select_block(grad_y, grad_x, bits, count);
}

MC_VECTORIZED void apply_bits(const uint16_t* grad_y, uint16_t* grad_x, const uint32_t* bits, int64_t count) {
  select_block(grad_y, grad_x, bits, count);
}

MC_VECTORIZED LearnedSums learned_gradient(const float* x, const float* grad_y, float* grad_x, int64_t count,
                                           const OneScale& one, const Range& range) {
  return learned_elements(x, grad_y, grad_x, count, one, range);
}

MC_VECTORIZED LearnedSums learned_gradient(const uint16_t* x, const uint16_t* grad_y, uint16_t* grad_x,
                                           int64_t count, const OneScale& one, const Range& range) {
  return learned_elements(x, grad_y, grad_x, count, one, range);
}

MC_VECTORIZED void min_max(const float* x, int64_t count, float& low, float& high) {
  extremes(x, count, low, high);
}

MC_VECTORIZED void min_max(const uint16_t* x, int64_t count, float& low, float& high) {
  extremes(x, count, low, high);
}

MC_VECTORIZED void min_max_each(const float* x, int64_t count, float* low, float* high) {
  each_extreme(x, count, low, high);
}

MC_VECTORIZED void min_max_each(const uint16_t* x, int64_t count, float* low, float* high) {
  each_extreme(x, count, low, high);
}

}  // namespace mc::loops
