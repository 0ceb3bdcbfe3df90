#include "mc/quantize/element_scan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

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

int exponent_above(const Extremes& extremes) {
  return std::max(exponent_above(extremes.min), exponent_above(extremes.max));
}

}  // namespace

// Complaints wait until all threads are done.
struct ElementScan::Part::Findings {
  bool has_nan = false;
  bool has_infinity = false;
  Extremes extremes;

  void join(const Findings& other) {
    has_nan = has_nan || other.has_nan;
    has_infinity = has_infinity || other.has_infinity;
    extremes.min = std::min(extremes.min, other.extremes.min);
    extremes.max = std::max(extremes.max, other.extremes.max);
  }
};

// Neighbours often fall into one bin (zeros behind a Relu do), and an increment that waits for the one before
// is slow: so neighbours count in different tables.
class ElementScan::Part::Counts {
 public:
  explicit Counts(int64_t weight) : weight_(weight) {}

  void add(const float* x, int64_t count, const Extremes& extremes) {
    const int exponent = exponent_above(extremes);
    if (exponent > histogram_.exponent_ || pending_ + count > kMostPending) {
      flush();
      histogram_.reach(exponent);
    }
    const auto per_unit = static_cast<float>(1 / histogram_.width());
    histogram_.zeros_ += weight_ * loops::bins_of(x, count, per_unit, Histogram::kMiddle, bins_.data());
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

  const Histogram& histogram() {
    flush();
    return histogram_;
  }

 private:
  static constexpr int64_t kTables = 4;
  // A table's counts are 32 bits wide; emptied long before they could overflow.
  static constexpr int64_t kMostPending = int64_t{1} << 31;

  void flush() {
    if (pending_ == 0) return;
    for (auto& table : tables_) {
      for (int64_t bin = 0; bin < Histogram::kBins; ++bin) histogram_.counts_[bin] += weight_ * table[bin];
      table.fill(0);
    }
    histogram_.count_ += weight_ * pending_;
    pending_ = 0;
  }

  int64_t weight_;
  Histogram histogram_;
  int64_t pending_ = 0;
  alignas(64) std::array<std::array<uint32_t, Histogram::kBins>, kTables> tables_{};
  alignas(64) std::array<int32_t, kBlock> bins_{};
};

ElementScan::Part::Part(ElementScan& scan) : scan_(scan), findings_(std::make_unique<Findings>()) {}

ElementScan::Part::~Part() {
  const std::lock_guard lock(scan_.mutex_);
  scan_.findings_->join(*findings_);
  if (counts_) scan_.counts_.push_back(std::move(counts_));
}

void ElementScan::Part::add(int64_t block, const float* x, int64_t count) {
  if (findings_->has_nan || findings_->has_infinity) return;
  const loops::BlockExtremes seen = loops::extremes_of(x, count);
  findings_->join({seen.has_nan, std::isinf(seen.low) || std::isinf(seen.high), {seen.low, seen.high}});
  if (!scan_.histogram_ || block % scan_.every_ != scan_.phase_) return;
  if (findings_->has_nan || findings_->has_infinity) return;
  if (!counts_) counts_ = std::make_unique<Counts>(scan_.every_);
  counts_->add(x, count, {seen.low, seen.high});
}

ElementScan::ElementScan(Histogram* histogram, int64_t every, int64_t phase)
    : histogram_(histogram),
      every_(every),
      phase_(phase % every),
      findings_(std::make_unique<Part::Findings>()) {}

ElementScan::~ElementScan() = default;

Extremes ElementScan::finish() {
  MC_CHECK(!findings_->has_nan, "holds NaN");
  MC_CHECK(!findings_->has_infinity, "holds infinity");
  const Extremes extremes = findings_->extremes;
  if (!histogram_ || extremes.min > extremes.max) return extremes;
  for (const auto& counts : counts_) histogram_->merge(counts->histogram());
  histogram_->reach(exponent_above(extremes));  // blocks that were not counted lie within it too
  histogram_->widen(extremes);
  return extremes;
}

at::Tensor dense_floats(const at::Tensor& x) {
  MC_CHECK(x.is_floating_point(), "holds {}; only floating numbers have a range",
           dtype_name(to_dtype(x.scalar_type())));
  const at::Tensor floats = x.detach().to(at::kCPU, at::kFloat);
  return floats.is_non_overlapping_and_dense() ? floats : floats.contiguous();
}

void look_at(const at::Tensor& floats, ElementScan& elements) {
  constexpr int64_t kBlock = ElementScan::kBlock;
  const float* data = floats.const_data_ptr<float>();
  const int64_t count = floats.numel();
  at::parallel_for(0, (count + kBlock - 1) / kBlock, kScanGrain, [&](int64_t begin, int64_t end) {
    ElementScan::Part part(elements);
    for (int64_t block = begin; block < end; ++block) {
      part.add(block, data + block * kBlock, std::min(kBlock, count - block * kBlock));
    }
  });
}

}  // namespace mc
