// What the batches of a pass hold of every value that is to be quantized, from several batches at a time. The
// result does not depend on which of them is done first.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/quantize/calibrate.h"

namespace mc {

class StatisticsCollector {
 public:
  // Fills the values that `statistics` names.
  StatisticsCollector(ActivationStatistics& statistics, const CollectOptions& options)
      : statistics_(statistics), options_(options) {}

  // One batch: number `index` of the pass, which begins with sample number `first`. Used by one thread.
  struct Batch {
    int64_t index = 0;
    int64_t first = 0;
    int64_t samples = 0;
    std::vector<std::pair<std::string, Extremes>> extremes = {};  // of values that hold an element
  };

  // Throw Error that names no place: the value holds NaN, infinity or no floats.
  void add(Batch& batch, const std::string& value, const at::Tensor& x);
  // A value, and the sum that takes its place. `value` is set to whichever an Error is about.
  void add_sum(Batch& batch, const std::string& term, const std::string& sum, const at::Tensor& elements,
               const std::function<void(int64_t begin, int64_t end)>& compute, std::string& value);

  // The batch is through.
  void finish(Batch batch);

 private:
  // Of how many blocks one is counted in the histogram.
  int64_t thinning(const Batch& batch, int64_t elements) const;
  Histogram* histogram_of(const std::string& value);

  ActivationStatistics& statistics_;
  const CollectOptions& options_;
  std::mutex mutex_;  // guards what follows, and the statistics
  int64_t next_ = 0;
  std::map<int64_t, Batch> waiting_;  // that were done before an earlier one
};

}  // namespace mc
