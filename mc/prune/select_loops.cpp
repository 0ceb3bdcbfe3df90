#include "mc/prune/select_loops.h"

#include <algorithm>

#include "mc/prune/select_avx512.h"

// These loops want more unrolling than the rest of the project.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

// One body, compiled for levels of vector instructions below AVX-512; the processor's best is picked when the
// program loads. Sanitizers run before that choice can be made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MC_SELECT_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define MC_SELECT_CLONES
#endif

namespace mc::loops {
namespace {

constexpr int64_t kBlock = 64;  // a word's bits

// Of flags that are 0 or 1, by halves: what compilers turn into shifts of whole vectors.
[[gnu::always_inline]] inline uint64_t pack_bits(const int32_t* flags) {
  uint32_t low = 0, high = 0;
#pragma omp simd reduction(| : low, high)
  for (int i = 0; i < 32; ++i) {
    low |= static_cast<uint32_t>(flags[i]) << i;
    high |= static_cast<uint32_t>(flags[32 + i]) << i;
  }
  return low | static_cast<uint64_t>(high) << 32;
}

struct BlockBits {
  uint64_t above = 0, near = 0;
};

// Loops of a fixed length over arrays of one type each.
template <bool kAbsolute>
[[gnu::always_inline]] inline BlockBits split_block(const float* __restrict scores, int32_t low, int32_t high,
                                                    bool& finite) {
  alignas(64) int32_t above[kBlock], near[kBlock];
  int32_t inside = 0, infinite = 0;
#pragma omp simd reduction(+ : inside, infinite)
  for (int64_t i = 0; i < kBlock; ++i) {
    const int32_t key = score_key(scores[i], kAbsolute);
    above[i] = key > low ? 1 : 0;
    near[i] = key <= high ? above[i] : 0;
    inside += near[i];
    infinite += (std::bit_cast<int32_t>(scores[i]) & 0x7fffffff) >= 0x7f800000 ? 1 : 0;
  }
  if (infinite) finite = false;
  return {pack_bits(above), inside ? pack_bits(near) : 0};
}

template <bool kAbsolute>
[[gnu::always_inline]] inline SplitCounts split(const float* scores, int64_t count, int32_t low, int32_t high,
                                                uint64_t* words, NearKeys near) {
  SplitCounts counts;
  for (int64_t first = 0; first < count; first += kBlock) {
    const float* block = scores + first;
    float last[kBlock];
    const int64_t missing = std::max<int64_t>(0, first + kBlock - count);
    if (missing) {
      std::copy_n(block, kBlock - missing, last);
      std::fill_n(last + kBlock - missing, missing, 0.0F);
      block = last;
    }
    BlockBits bits = split_block<kAbsolute>(block, low, high, counts.finite);
    bits.above &= ~uint64_t{0} >> missing;
    bits.near &= ~uint64_t{0} >> missing;
    words[first / kBlock] = bits.above;
    counts.above += std::popcount(bits.above);
    for (; bits.near; bits.near &= bits.near - 1) {
      const int bit = std::countr_zero(bits.near);
      near.keys[counts.near] = score_key(block[bit], kAbsolute);
      near.places[counts.near++] = static_cast<int32_t>(first + bit);
    }
  }
  return counts;
}

MC_SELECT_CLONES SplitCounts split_absolute(const float* scores, int64_t count, int32_t low, int32_t high,
                                            uint64_t* words, NearKeys near) {
  return split<true>(scores, count, low, high, words, near);
}

MC_SELECT_CLONES SplitCounts split_signed(const float* scores, int64_t count, int32_t low, int32_t high,
                                          uint64_t* words, NearKeys near) {
  return split<false>(scores, count, low, high, words, near);
}

[[gnu::always_inline]] inline void hold_block(const int32_t* kept, float* __restrict values) {
  alignas(64) int32_t held[kBlock];
  int32_t moved = 0;
#pragma omp simd reduction(| : moved)
  for (int64_t i = 0; i < kBlock; ++i) {
    const auto bits = std::bit_cast<int32_t>(values[i]);
    held[i] = bits & -kept[i];
    moved |= held[i] ^ bits;
  }
  if (!moved) return;
#pragma omp simd
  for (int64_t i = 0; i < kBlock; ++i) values[i] = std::bit_cast<float>(held[i]);
}

MC_SELECT_CLONES void write_blocks(const uint64_t* words, int64_t blocks, uint8_t* __restrict keep,
                                   float* values) {
  alignas(64) int32_t kept[kBlock];
  for (int64_t block = 0; block < blocks; ++block) {
    const auto low = static_cast<uint32_t>(words[block]), high = static_cast<uint32_t>(words[block] >> 32);
#pragma omp simd
    for (int i = 0; i < 32; ++i) {
      kept[i] = static_cast<int32_t>((low >> i) & 1);
      kept[32 + i] = static_cast<int32_t>((high >> i) & 1);
    }
    uint8_t* to = keep + block * kBlock;
#pragma omp simd
    for (int64_t i = 0; i < kBlock; ++i) to[i] = static_cast<uint8_t>(kept[i]);
    if (values) hold_block(kept, values + block * kBlock);
  }
}

}  // namespace

SplitCounts split_plain(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                        uint64_t* words, NearKeys near) {
  return (absolute ? split_absolute : split_signed)(scores, count, low, high, words, near);
}

void write_plain(const uint64_t* words, int64_t count, uint8_t* keep, float* values) {
  write_blocks(words, count / kBlock, keep, values);
  for (int64_t i = count / kBlock * kBlock; i < count; ++i) {
    keep[i] = words[i / kBlock] >> (i % kBlock) & 1;
    if (values && !keep[i]) values[i] = 0;
  }
}

#ifdef MC_SELECT_AVX512
SplitCounts split_by_key(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint64_t* words, NearKeys near) {
  return (has_avx512() ? split_avx512 : split_plain)(scores, count, absolute, low, high, words, near);
}
void write_kept(const uint64_t* words, int64_t count, uint8_t* keep, float* values) {
  (has_avx512() ? write_avx512 : write_plain)(words, count, keep, values);
}
#else
SplitCounts split_by_key(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint64_t* words, NearKeys near) {
  return split_plain(scores, count, absolute, low, high, words, near);
}
void write_kept(const uint64_t* words, int64_t count, uint8_t* keep, float* values) {
  write_plain(words, count, keep, values);
}
#endif

}  // namespace mc::loops
