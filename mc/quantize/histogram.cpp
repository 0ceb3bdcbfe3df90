#include "mc/quantize/histogram.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"
#include "mc/quantize/histogram_loops.h"

namespace mc {
namespace {

// The least k with |x| < 2^k; for 0, which fits into any range, less than any range has.
int exponent_above(float x) {
  if (x == 0) return std::numeric_limits<int>::min();
  int exponent = 0;
  std::frexp(x, &exponent);
  return exponent;
}

// Its elements as floats, one after the other in any order.
at::Tensor flat_floats(const at::Tensor& x) {
  MC_CHECK(x.is_floating_point(), "holds {}; only floating numbers have a range",
           dtype_name(to_dtype(x.scalar_type())));
  const at::Tensor floats = x.detach().to(at::kCPU, at::kFloat);
  return floats.is_non_overlapping_and_dense() ? floats : floats.contiguous();
}

void widen(Extremes& extremes, const Extremes& by) {
  extremes.min = std::min(extremes.min, by.min);
  extremes.max = std::max(extremes.max, by.max);
}

constexpr int64_t kGrain = 16 * loops::kHistogramBlock;

}  // namespace

// What a thread found; complaints wait until all threads are done.
struct HistogramFindings {
  bool has_nan = false;
  bool has_infinity = false;
  Extremes extremes;

  // False where the block holds what cannot be counted.
  bool add(const loops::BlockSummary& block) {
    has_nan = has_nan || block.has_nan;
    has_infinity = has_infinity || std::isinf(block.low) || std::isinf(block.high);
    widen(extremes, {block.low, block.high});
    return !has_nan && !has_infinity;
  }

  void join(const HistogramFindings& other) {
    has_nan = has_nan || other.has_nan;
    has_infinity = has_infinity || other.has_infinity;
    widen(extremes, other.extremes);
  }

  void check() const {
    MC_CHECK(!has_nan, "holds NaN");
    MC_CHECK(!has_infinity, "holds infinity");
  }
};

// What one thread counts. Neighbours often fall into one bin (zeros behind a Relu do), and an increment that
// waits for the one before is slow: so neighbours count in different tables.
class HistogramPart {
 public:
  void add(const float* x, int64_t count) {
    for (int64_t i = 0; i < count; i += loops::kHistogramBlock) {
      if (!add_block(x + i, std::min(loops::kHistogramBlock, count - i))) return;
    }
    flush();
    histogram_.extremes_ = findings_.extremes;
  }

  void merge_into(Histogram& whole) const { whole.merge(histogram_); }

  const HistogramFindings& findings() const { return findings_; }

 private:
  static constexpr int64_t kTables = 4;
  // A table's counts are 32 bits wide; emptied long before they could overflow.
  static constexpr int64_t kMostPending = int64_t{1} << 31;

  bool add_block(const float* x, int64_t count) {
    const loops::BlockSummary block = loops::summarize(x, count);
    if (!findings_.add(block)) return false;
    const int exponent = std::max(exponent_above(block.low), exponent_above(block.high));
    if (exponent > histogram_.exponent_ || pending_ + count > kMostPending) {
      flush();
      histogram_.reach(exponent);
    }
    const auto per_unit = static_cast<float>(1 / histogram_.width());
    loops::bins_of(x, count, per_unit, Histogram::kMiddle, bins_.data());
    count_bins(count);
    histogram_.zeros_ += block.zeros;
    return true;
  }

  void count_bins(int64_t count) {
    int64_t i = 0;
    for (; i + kTables <= count; i += kTables) {
      ++tables_[0][bins_[i]];
      ++tables_[1][bins_[i + 1]];
      ++tables_[2][bins_[i + 2]];
      ++tables_[3][bins_[i + 3]];
    }
    for (; i < count; ++i) ++tables_[0][bins_[i]];
    pending_ += count;
  }

  void flush() {
    if (pending_ == 0) return;
    for (auto& table : tables_) {
      for (int64_t bin = 0; bin < Histogram::kBins; ++bin) histogram_.counts_[bin] += table[bin];
      table.fill(0);
    }
    histogram_.count_ += pending_;
    pending_ = 0;
  }

  HistogramFindings findings_;
  Histogram histogram_;
  int64_t pending_ = 0;
  alignas(64) std::array<std::array<uint32_t, Histogram::kBins>, kTables> tables_{};
  alignas(64) std::array<int32_t, loops::kHistogramBlock> bins_{};
};

double Histogram::width() const {
  return std::ldexp(2.0 / kBins, exponent_);
}

void Histogram::reach(int exponent) {
  if (count_ == 0) exponent_ = std::max(exponent_, exponent);
  for (; exponent_ < exponent; ++exponent_) {
    std::vector<int64_t> wider(kBins);
    for (int64_t bin = 0; bin < kBins; ++bin) wider[kBins / 4 + bin / 2] += counts_[bin];
    counts_ = std::move(wider);
  }
}

void Histogram::merge(const Histogram& other) {
  if (other.empty()) return;
  Histogram same = other;
  same.reach(exponent_);
  reach(same.exponent_);
  for (int64_t bin = 0; bin < kBins; ++bin) counts_[bin] += same.counts_[bin];
  count_ += same.count_;
  zeros_ += same.zeros_;
  widen(extremes_, same.extremes_);
}

Extremes Histogram::add(const at::Tensor& x) {
  const at::Tensor floats = flat_floats(x);
  const float* data = floats.const_data_ptr<float>();
  std::mutex mutex;
  std::vector<std::unique_ptr<HistogramPart>> parts;
  at::parallel_for(0, floats.numel(), kGrain, [&](int64_t begin, int64_t end) {
    auto part = std::make_unique<HistogramPart>();
    part->add(data + begin, end - begin);
    const std::lock_guard lock(mutex);
    parts.push_back(std::move(part));
  });
  HistogramFindings findings;
  for (const auto& part : parts) findings.join(part->findings());
  findings.check();
  for (const auto& part : parts) part->merge_into(*this);
  return findings.extremes;
}

Extremes finite_extremes(const at::Tensor& x) {
  const at::Tensor floats = flat_floats(x);
  const float* data = floats.const_data_ptr<float>();
  std::mutex mutex;
  HistogramFindings findings;
  at::parallel_for(0, floats.numel(), kGrain, [&](int64_t begin, int64_t end) {
    HistogramFindings part;
    for (int64_t i = begin; i < end; i += loops::kHistogramBlock) {
      if (!part.add(loops::summarize(data + i, std::min(loops::kHistogramBlock, end - i)))) break;
    }
    const std::lock_guard lock(mutex);
    findings.join(part);
  });
  findings.check();
  return findings.extremes;
}

}  // namespace mc
