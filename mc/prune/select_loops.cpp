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

template <bool kAbsolute>
[[gnu::always_inline]] inline SplitCounts split(const float* __restrict scores, int64_t count, int32_t low,
                                                int32_t high, uint8_t* __restrict keep,
                                                int32_t* __restrict near) {
  static_assert(std::endian::native == std::endian::little);
  SplitCounts counts;
  int32_t* end = near;
  alignas(64) uint8_t flags[kBlock];
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t lanes = std::min(kBlock, count - first);
    if (lanes < kBlock) std::fill(flags, flags + kBlock, uint8_t{0});
    int32_t below = 0, at_low = 0, inside = 0, infinite = 0;
#pragma omp simd reduction(+ : below, at_low, inside, infinite)
    for (int64_t i = 0; i < lanes; ++i) {
      const int32_t key = score_key(scores[first + i], kAbsolute);
      const int32_t is_near = static_cast<int32_t>(key > low) & static_cast<int32_t>(key <= high);
      keep[first + i] = static_cast<uint8_t>(key > low);
      flags[i] = static_cast<uint8_t>(is_near);
      below += key < low;
      at_low += key == low;
      inside += is_near;
      infinite += (std::bit_cast<int32_t>(scores[first + i]) & 0x7fffffff) >= 0x7f800000;
    }
    counts.below += below;
    counts.at_low += at_low;
    if (infinite) counts.finite = false;
    if (inside) end = append_flagged(flags, first, end);
  }
  counts.near = end - near;
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
