// The n-th smallest of many integers without moving them: their histogram tells a narrow range, and what is
// in it is sorted out. Internal.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace mc {

struct NthKey {
  int32_t key = 0;
  int64_t not_above = 0;  // keys that are at most `key`
};

// `for_each(visit)` shows all keys, each time alike; there is at least one.
template <class ForEach>
class KeyHistogram {
 public:
  explicit KeyHistogram(const ForEach& for_each) : for_each_(for_each) {
    int32_t low = std::numeric_limits<int32_t>::max(), high = std::numeric_limits<int32_t>::min();
    for_each_([&](int32_t key) {
      low = std::min(low, key);
      high = std::max(high, key);
    });
    count(low, high);
  }
  // All keys are in [low, high].
  KeyHistogram(const ForEach& for_each, int32_t low, int32_t high) : for_each_(for_each) { count(low, high); }

  // n is from 0 to the number of keys less one.
  NthKey nth(int64_t n) const {
    size_t bin = 0;
    int64_t below = 0;
    for (; below + counts_[bin] <= n; ++bin) below += counts_[bin];
    std::vector<int32_t> keys;
    keys.reserve(static_cast<size_t>(counts_[bin]));
    for_each_([&](int32_t key) {
      if (bin_of(key) == bin) keys.push_back(key);
    });
    std::ranges::nth_element(keys, keys.begin() + (n - below));
    const int32_t found = keys[static_cast<size_t>(n - below)];
    return {found, below + std::ranges::count_if(keys, [&](int32_t key) { return key <= found; })};
  }

 private:
  static constexpr int kBits = 11;

  void count(int32_t low, int32_t high) {
    base_ = static_cast<uint32_t>(low);
    const uint32_t width = static_cast<uint32_t>(high) - base_;
    shift_ = std::max(0, static_cast<int>(std::bit_width(width)) - kBits);
    for_each_([&](int32_t key) { ++counts_[bin_of(key)]; });
  }
  size_t bin_of(int32_t key) const { return (static_cast<uint32_t>(key) - base_) >> shift_; }

  ForEach for_each_;
  uint32_t base_ = 0;
  int shift_ = 0;
  std::array<int32_t, 1 << kBits> counts_ = {};
};

}  // namespace mc
