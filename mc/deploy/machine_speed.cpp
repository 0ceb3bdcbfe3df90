#include "mc/deploy/machine_speed.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

#include <ATen/Parallel.h>

#include "mc/base/threads.h"

namespace mc {
namespace {

constexpr size_t kFloats = 1 << 14;  // 64 KiB
constexpr int kPasses = 500;

// A loop that ends at a fixed point, so that it takes the same time however often it runs.
void multiply_add(std::vector<float>& values) {
  for (int pass = 0; pass < kPasses; ++pass) {
    for (float& value : values) value = value * 0.5F + 0.5F;
  }
}

double median_between(const std::vector<double>& times, size_t begin, size_t end) {
  std::vector<double> part(times.begin() + static_cast<std::ptrdiff_t>(begin),
                           times.begin() + static_cast<std::ptrdiff_t>(end));
  const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
  std::nth_element(part.begin(), middle, part.end());
  return *middle;
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
  return times_.empty() ? 0 : median_between(times_, 0, times_.size());
}

double MachineSpeed::drift() const {
  constexpr size_t kQuarters = 4;
  if (times_.size() < kQuarters) return 0;
  std::vector<double> medians;
  for (size_t i = 0; i < kQuarters; ++i) {
    medians.push_back(
        median_between(times_, i * times_.size() / kQuarters, (i + 1) * times_.size() / kQuarters));
  }
  const auto [fastest, slowest] = std::minmax_element(medians.begin(), medians.end());
  return *slowest / *fastest - 1;
}

}  // namespace mc
