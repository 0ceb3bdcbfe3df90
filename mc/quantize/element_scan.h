// One look at all elements of a value: their extremes, and where asked for their histogram, block by block
// from any threads. A block is short enough to stay in the cache nearest to a core, so that one who makes
// elements can have them looked at on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/quantize/histogram.h"

namespace mc {

class ElementScan {
 public:
  static constexpr int64_t kBlock = 4096;  // elements

  // Extremes only without a histogram. Of `every` blocks in turn one is counted in it, for all of them: that
  // whose number leaves the rest `phase`.
  explicit ElementScan(Histogram* histogram = nullptr, int64_t every = 1, int64_t phase = 0);
  ~ElementScan();
  ElementScan(const ElementScan&) = delete;
  ElementScan& operator=(const ElementScan&) = delete;

  // What one thread sees.
  class Part {
   public:
    explicit Part(ElementScan& scan);
    ~Part();  // adds what was seen to the scan
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    // Block number `block`: at most kBlock elements.
    void add(int64_t block, const float* x, int64_t count);

   private:
    friend class ElementScan;
    class Counts;
    struct Findings;
    ElementScan& scan_;
    std::unique_ptr<Findings> findings_;
    std::unique_ptr<Counts> counts_;  // made for the first block that is counted
  };

  // Adds to the histogram and gives the extremes. Throws Error when there was NaN or infinity; nothing is
  // added then. The parts must be gone.
  Extremes finish();

 private:
  friend class Part;
  Histogram* histogram_;
  int64_t every_, phase_;
  std::mutex mutex_;
  std::unique_ptr<Part::Findings> findings_;
  std::vector<std::unique_ptr<Part::Counts>> counts_;
};

// The elements as floats on the CPU, one after the other in any order. Throws Error for numbers that are not
// floating.
at::Tensor dense_floats(const at::Tensor& x);

// Shows the scan all elements of dense floats, in parallel.
void look_at(const at::Tensor& floats, ElementScan& elements);

// How many blocks a thread takes at least.
inline constexpr int64_t kScanGrain = 16;

}  // namespace mc
