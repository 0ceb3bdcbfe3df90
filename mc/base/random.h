// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A number is a pure function of (seed, stream, counter), so that resuming, or
// reading samples from several threads, needs no replay.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace mc {

// Four 32-bit words for one counter under one key.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A stream of numbers for one (seed, epoch, sample, use). Satisfies UniformRandomBitGenerator.
class Random {
 public:
  using result_type = uint32_t;

  explicit Random(uint64_t seed, uint64_t epoch = 0, uint64_t sample = 0, std::string_view use = {});

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
  result_type operator()();

  double uniform();                 // in [0, 1), 53 bits
  double normal();                  // mean 0, variance 1 (Box-Muller)
  int64_t below(int64_t bound);     // in [0, bound), without bias; bound >= 1
  bool chance(double probability);  // true with this probability

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

// Fisher-Yates with numbers from `random`.
void shuffle(std::span<int64_t> values, Random& random);

}  // namespace mc
