#include "mc/prune/select_loops.h"

#include <algorithm>
#include <cstring>

// These loops want more unrolling than the rest of the project.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

// One body, compiled for each level of vector instructions; the processor's best is picked when the program
// loads. Sanitizers run before that choice can be made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MC_SELECT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MC_SELECT_CLONES
#endif

namespace mc::loops {
namespace {

constexpr int64_t kBlock = 64;

// Eight flags of `near` at a time: most blocks have few or none set.
[[gnu::always_inline]] inline int32_t* append_flagged(const uint8_t* flags, int64_t first, int32_t* indices) {
  for (int64_t word = 0; word < kBlock; word += 8) {
    uint64_t set;
    std::memcpy(&set, flags + word, sizeof set);
    for (; set; set &= set - 1) {
      const int bit = std::countr_zero(set) / 8;
      *indices++ = static_cast<int32_t>(first + word + bit);
    }
  }
  return indices;
}

// Loops of a fixed length over arrays of one type each: what compilers turn into a few vectors.
template <bool kAbsolute>
[[gnu::always_inline]] inline void split_block(const float* __restrict scores, int32_t low, int32_t high,
                                               uint8_t* __restrict keep, uint8_t* __restrict flags,
                                               SplitCounts& counts) {
  alignas(64) int32_t above[kBlock], near[kBlock];
  int32_t kept = 0, inside = 0, at_low = 0, infinite = 0;
#pragma omp simd reduction(+ : kept, inside, at_low, infinite)
  for (int64_t i = 0; i < kBlock; ++i) {
    const int32_t key = score_key(scores[i], kAbsolute);
    above[i] = key > low ? 1 : 0;
    near[i] = key <= high ? above[i] : 0;
    kept += above[i];
    inside += near[i];
    at_low += key == low ? 1 : 0;
    infinite += (std::bit_cast<int32_t>(scores[i]) & 0x7fffffff) >= 0x7f800000 ? 1 : 0;
  }
#pragma omp simd
  for (int64_t i = 0; i < kBlock; ++i) keep[i] = static_cast<uint8_t>(above[i]);
  counts.below += kBlock - kept - at_low;
  counts.at_low += at_low;
  counts.near += inside;
  if (infinite) counts.finite = false;
  if (!inside) return;
#pragma omp simd
  for (int64_t i = 0; i < kBlock; ++i) flags[i] = static_cast<uint8_t>(near[i]);
}

template <bool kAbsolute>
[[gnu::always_inline]] inline SplitCounts split(const float* scores, int64_t count, int32_t low, int32_t high,
                                                uint8_t* keep, int32_t* near) {
  static_assert(std::endian::native == std::endian::little);
  SplitCounts counts;
  int32_t* end = near;
  alignas(64) uint8_t flags[kBlock];
  int64_t first = 0;
  for (; first + kBlock <= count; first += kBlock) {
    const int64_t before = counts.near;
    split_block<kAbsolute>(scores + first, low, high, keep + first, flags, counts);
    if (counts.near != before) end = append_flagged(flags, first, end);
  }
  for (; first < count; ++first) {
    const int32_t key = score_key(scores[first], kAbsolute);
    keep[first] = key > low;
    counts.below += key < low;
    counts.at_low += key == low;
    if (key > low && key <= high) {
      *end++ = static_cast<int32_t>(first);
      ++counts.near;
    }
    if ((std::bit_cast<int32_t>(scores[first]) & 0x7fffffff) >= 0x7f800000) counts.finite = false;
  }
  return counts;
}

MC_SELECT_CLONES SplitCounts split_absolute(const float* scores, int64_t count, int32_t low, int32_t high,
                                            uint8_t* keep, int32_t* near) {
  return split<true>(scores, count, low, high, keep, near);
}

MC_SELECT_CLONES SplitCounts split_signed(const float* scores, int64_t count, int32_t low, int32_t high,
                                          uint8_t* keep, int32_t* near) {
  return split<false>(scores, count, low, high, keep, near);
}

}  // namespace

SplitCounts split_by_key(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint8_t* keep, int32_t* near) {
  return (absolute ? split_absolute : split_signed)(scores, count, low, high, keep, near);
}

}  // namespace mc::loops
