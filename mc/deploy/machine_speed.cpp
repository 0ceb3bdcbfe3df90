#include "mc/deploy/machine_speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <ATen/Parallel.h>

#include "mc/base/threads.h"

namespace mc {
namespace {

constexpr size_t kFloats = 1 << 14;  // 64 KiB
constexpr int kPasses = 2000;

// A loop that ends at a fixed point, so that it takes the same time however often it runs.
void multiply_add(std::vector<float>& values) {
  for (int pass = 0; pass < kPasses; ++pass) {
    for (float& value : values) value = value * 0.5F + 0.5F;
  }
}

double nearest_rank(std::vector<double> times, double share) {
  if (times.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(times.size())));
  const auto nth = times.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(times.begin(), nth, times.end());
  return *nth;
}

}  // namespace

MachineSpeed::MachineSpeed()
    : buffers_(static_cast<size_t>(Threads::count()), std::vector<float>(kFloats, 1.0F)) {}

void MachineSpeed::sample() {
  const auto start = std::chrono::steady_clock::now();
  at::parallel_for(0, static_cast<int64_t>(buffers_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) multiply_add(buffers_[static_cast<size_t>(i)]);
  });
  times_.push_back(
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
}

double MachineSpeed::median_ms() const {
  return nearest_rank(times_, 0.5);
}

double MachineSpeed::variation() const {
  const double fast = nearest_rank(times_, 0.1);
  return fast > 0 ? nearest_rank(times_, 0.9) / fast - 1 : 0;
}

}  // namespace mc
