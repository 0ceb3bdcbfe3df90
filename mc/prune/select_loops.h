// The pass over memory of select.h, compiled for several levels of vector instructions. Internal.
#pragma once

#include <bit>
#include <cstdint>

namespace mc::loops {

// Floats in order as integers: key(a) < key(b) if and only if a < b, or |a| < |b| when absolute.
inline int32_t score_key(float score, bool absolute) {
  if (absolute) return std::bit_cast<int32_t>(score) & 0x7fffffff;
  const auto bits = std::bit_cast<int32_t>(score + 0.0F);  // 0 and -0 are equal
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
inline float key_score(int32_t key) {
  return std::bit_cast<float>(key < 0 ? key ^ 0x7fffffff : key);
}

struct SplitCounts {
  int64_t below = 0;   // keys < low
  int64_t at_low = 0;  // keys == low
  int64_t near = 0;    // keys in (low, high]
  bool finite = true;
};

// keep[i] = key > low, of `count` scores. The indices of keys in (low, high] go to `near`, in order; it has
// room for `count` of them.
SplitCounts split_by_key(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint8_t* keep, int32_t* near);

}  // namespace mc::loops
