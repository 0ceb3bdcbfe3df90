#include "mc/base/random.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "mc/base/error.h"

namespace mc {
namespace {

// Multipliers and key increments of the paper's table 2 and section 4.3.
constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

uint32_t low(uint64_t value) {
  return static_cast<uint32_t>(value);
}
uint32_t high(uint64_t value) {
  return static_cast<uint32_t>(value >> 32);
}

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// Philox is a bijection of the counter, so under one seed and use no two (epoch, sample) share a stream.
// Words 0 and 1 of the counter then count blocks within the stream.
Random::Random(uint64_t seed, uint64_t epoch, uint64_t sample, std::string_view use) {
  uint64_t keyed = seed ^ fnv1a(use);
  auto stream = philox({low(epoch), high(epoch), low(sample), high(sample)}, {low(keyed), high(keyed)});
  key_ = {stream[0], stream[1]};
  counter_ = {0, 0, stream[2], stream[3]};
}

Random::result_type Random::operator()() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

double Random::uniform() {
  uint64_t upper = (*this)() >> 5, lower = (*this)() >> 6;
  return static_cast<double>(upper << 26 | lower) * 0x1p-53;
}

double Random::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  double radius = std::sqrt(-2 * std::log(1 - uniform()));  // 1 - uniform() is in (0, 1]
  double angle = 2 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

int64_t Random::below(int64_t bound) {
  MC_CHECK(bound >= 1, "a random number below {} does not exist: the bound must be at least 1", bound);
  auto range = static_cast<uint64_t>(bound);
  uint64_t rejected = (0 - range) % range;  // 2^64 mod range: what is left is a whole multiple of range
  uint64_t value;
  do {
    uint64_t upper = (*this)();
    value = upper << 32 | (*this)();
  } while (value < rejected);
  return static_cast<int64_t>(value % range);
}

bool Random::chance(double probability) {
  return uniform() < probability;
}

void shuffle(std::span<int64_t> values, Random& random) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
  }
}

}  // namespace mc
