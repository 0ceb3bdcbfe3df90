// The passes over memory of select.h, compiled for several levels of vector instructions. Internal.
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
  int64_t above = 0;  // keys > low
  int64_t near = 0;   // keys in (low, high]
  bool finite = true;
};

// Of scores, their keys and their places among the scores.
struct NearKeys {
  int32_t* keys;
  int32_t* places;
};
inline constexpr int64_t kNearSlack = 16;

// Bit i % 64 of words[i / 64] becomes key > low, of `count` scores; bits beyond are 0. Keys in (low, high] go
// to `near`, in order; both arrays have room for `count` + kNearSlack of them.
SplitCounts split_by_key(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint64_t* words, NearKeys near);

// keep[i] = bit i. Where `values` are given, those whose bit is not set become zero; lines of memory in which
// they all are already are only read.
void write_kept(const uint64_t* words, int64_t count, uint8_t* keep, float* values);

// The same without instructions of one processor.
SplitCounts split_plain(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                        uint64_t* words, NearKeys near);
void write_plain(const uint64_t* words, int64_t count, uint8_t* keep, float* values);

}  // namespace mc::loops
