#include "mc/quantize/statistics_collector.h"

#include <algorithm>

#include <ATen/Parallel.h>

#include "mc/quantize/element_scan.h"

namespace mc {
namespace {

// The elements of a value that are all counted, and about how many of each batch are after those.
constexpr int64_t kCountedWholly = int64_t{1} << 20;
constexpr int64_t kCountedOfBatch = int64_t{1} << 17;

}  // namespace

// A histogram of 4,096 bins gains nothing from more than millions of elements, and counting them takes longer
// than computing them.
int64_t StatisticsCollector::thinning(const Batch& batch, int64_t elements) const {
  const int64_t before = elements / std::max<int64_t>(batch.samples, 1) * batch.first;
  return before < kCountedWholly ? 1 : std::max<int64_t>(1, elements / kCountedOfBatch);
}

Histogram* StatisticsCollector::histogram_of(const std::string& value) {
  return options_.histograms ? &statistics_.values.at(value).histogram : nullptr;
}

void StatisticsCollector::add(Batch& batch, const std::string& value, const at::Tensor& x) {
  if (x.numel() == 0) return;
  const at::Tensor floats = dense_floats(x);
  ElementScan elements(histogram_of(value), thinning(batch, floats.numel()), batch.index);
  look_at(floats, elements);
  const std::lock_guard lock(mutex_);
  batch.extremes.emplace_back(value, elements.finish());
}

void StatisticsCollector::add_sum(Batch& batch, const std::string& term, const std::string& sum,
                                  const at::Tensor& elements,
                                  const std::function<void(int64_t begin, int64_t end)>& compute,
                                  std::string& value) {
  constexpr int64_t kBlock = ElementScan::kBlock;
  const int64_t count = elements.numel(), every = thinning(batch, count);
  const auto* data = elements.const_data_ptr<float>();
  ElementScan terms(histogram_of(term), every, batch.index), sums(histogram_of(sum), every, batch.index);
  at::parallel_for(0, (count + kBlock - 1) / kBlock, kScanGrain, [&](int64_t begin, int64_t end) {
    ElementScan::Part seen_terms(terms), seen_sums(sums);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kBlock, size = std::min(kBlock, count - first);
      seen_terms.add(block, data + first, size);
      compute(first, first + size);
      seen_sums.add(block, data + first, size);
    }
  });
  if (count == 0) return;
  const std::lock_guard lock(mutex_);
  value = term;
  const Extremes extremes = terms.finish();
  batch.extremes.emplace_back(term, extremes);
  value = sum;
  batch.extremes.emplace_back(sum, sums.finish());
}

void StatisticsCollector::finish(Batch batch) {
  const std::lock_guard lock(mutex_);
  const int64_t index = batch.index;
  waiting_.emplace(index, std::move(batch));
  for (auto done = waiting_.find(next_); done != waiting_.end(); done = waiting_.find(++next_)) {
    for (const auto& [name, extremes] : done->second.extremes) {
      statistics_.values.at(name).add(extremes, options_.averaging);
    }
    statistics_.samples += done->second.samples;
    waiting_.erase(done);
  }
}

}  // namespace mc
