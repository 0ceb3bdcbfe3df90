#include "mc/quantize/histogram.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mc/quantize/element_scan.h"

namespace mc {

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
}

void Histogram::widen(const Extremes& extremes) {
  extremes_.min = std::min(extremes_.min, extremes.min);
  extremes_.max = std::max(extremes_.max, extremes.max);
}

Extremes Histogram::add(const at::Tensor& x) {
  ElementScan elements(this);
  look_at(dense_floats(x), elements);
  return elements.finish();
}

Extremes finite_extremes(const at::Tensor& x) {
  ElementScan elements;
  look_at(dense_floats(x), elements);
  return elements.finish();
}

}  // namespace mc
