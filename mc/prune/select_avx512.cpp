#include "mc/prune/select_avx512.h"

#ifdef MC_SELECT_AVX512
#include <immintrin.h>

#include <bit>
#include <limits>

#define MC_AVX512 __attribute__((target("avx512f,avx512bw,bmi,popcnt")))
#define MC_AVX512_INLINE __attribute__((target("avx512f,avx512bw,bmi,popcnt"), always_inline)) inline

namespace mc::loops {
namespace {

constexpr int64_t kWord = 64;  // scores of a word
constexpr int kLanes = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

MC_AVX512_INLINE uint64_t first_bits(int64_t count) {
  return count >= kWord ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

MC_AVX512_INLINE __mmask16 lanes_of(uint64_t bits, int quarter) {
  return static_cast<__mmask16>(bits >> (quarter * kLanes));
}

MC_AVX512_INLINE uint64_t join(const __mmask16 (&quarters)[4]) {
  return uint64_t{quarters[0]} | uint64_t{quarters[1]} << 16 | uint64_t{quarters[2]} << 32 |
         uint64_t{quarters[3]} << 48;
}

// score_key of 16 scores.
template <bool kAbsolute>
MC_AVX512_INLINE __m512i keys_of(__m512 scores) {
  const __m512i all_but_sign = _mm512_set1_epi32(0x7fffffff);
  if constexpr (kAbsolute) return _mm512_and_si512(_mm512_castps_si512(scores), all_but_sign);
  const __m512i bits = _mm512_castps_si512(_mm512_add_ps(scores, _mm512_setzero_ps()));
  return _mm512_xor_si512(bits, _mm512_and_si512(_mm512_srai_epi32(bits, 31), all_but_sign));
}

template <bool kAbsolute>
MC_AVX512 SplitCounts split_lanes(const float* scores, int64_t count, int32_t low, int32_t high,
                                  uint64_t* words, NearKeys near) {
  const __m512i lows = _mm512_set1_epi32(low), highs = _mm512_set1_epi32(high);
  const __m512i all_but_sign = _mm512_set1_epi32(0x7fffffff);
  const __m512i first_places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i largest = _mm512_setzero_si512();
  SplitCounts counts;
  for (int64_t first = 0; first < count; first += kWord) {
    const uint64_t valid = first_bits(count - first);
    __mmask16 above[4];
    for (int i = 0; i < 4; ++i) {
      const __mmask16 lanes = lanes_of(valid, i);
      const int64_t line = first + i * kLanes;
      const __m512 values = _mm512_maskz_loadu_ps(lanes, scores + line);
      const __m512i keys = keys_of<kAbsolute>(values);
      above[i] = _mm512_mask_cmpgt_epi32_mask(lanes, keys, lows);
      largest = _mm512_max_epi32(largest, _mm512_and_si512(_mm512_castps_si512(values), all_but_sign));
      const __mmask16 inside = _mm512_mask_cmple_epi32_mask(above[i], keys, highs);
      // Stored whole: what is too much is written over by the next.
      const __m512i places = _mm512_add_epi32(first_places, _mm512_set1_epi32(static_cast<int32_t>(line)));
      _mm512_storeu_si512(near.keys + counts.near, _mm512_maskz_compress_epi32(inside, keys));
      _mm512_storeu_si512(near.places + counts.near, _mm512_maskz_compress_epi32(inside, places));
      counts.near += _mm_popcnt_u32(inside);
    }
    words[first / kWord] = join(above);
    counts.above += _mm_popcnt_u64(words[first / kWord]);
  }
  counts.finite = !_mm512_cmpge_epi32_mask(largest, _mm512_set1_epi32(std::bit_cast<int32_t>(kInfinity)));
  return counts;
}

}  // namespace

bool has_avx512() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
  return has;
}

SplitCounts split_avx512(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint64_t* words, NearKeys near) {
  return (absolute ? split_lanes<true> : split_lanes<false>)(scores, count, low, high, words, near);
}

MC_AVX512 void write_avx512(const uint64_t* words, int64_t count, uint8_t* keep, float* values) {
  for (int64_t first = 0; first < count; first += kWord) {
    const uint64_t valid = first_bits(count - first), stay = words[first / kWord];
    _mm512_mask_storeu_epi8(keep + first, valid, _mm512_maskz_set1_epi8(stay, 1));
    if (!values) continue;
    for (int i = 0; i < 4; ++i) {
      float* line = values + first + i * kLanes;
      const __mmask16 goes = lanes_of(valid & ~stay, i);
      const __m512i bits = _mm512_maskz_loadu_epi32(goes, line);
      if (_mm512_test_epi32_mask(bits, bits)) _mm512_mask_storeu_ps(line, goes, _mm512_setzero_ps());
    }
  }
}

}  // namespace mc::loops
#endif
