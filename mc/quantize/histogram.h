// A histogram of a stream of numbers whose range is not known beforehand: one pass, and memory that does not
// depend on how many come. Bins of equal width cover [-2^k, 2^k); a number outside doubles the range, which
// merges the bins two by two. Because the range is a power of two, bin edges are floats and scaling is exact:
// neither the order of the numbers nor the number of threads changes the result.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

struct Extremes {
  float min = std::numeric_limits<float>::infinity();
  float max = -std::numeric_limits<float>::infinity();
};

// The smallest and largest element of a floating tensor of any shape, type and device; of an empty one as
// Extremes begins. Throws Error when it holds NaN or infinity, or numbers that are not floating.
Extremes finite_extremes(const at::Tensor& x);

class Histogram {
 public:
  static constexpr int64_t kBins = 4096;
  static constexpr int64_t kMiddle = kBins / 2;  // the bin that begins at 0

  // Adds all elements, reading each once, in parallel; gives the extremes of these. Throws as finite_extremes
  // does; nothing has been added then.
  Extremes add(const at::Tensor& x);

  bool empty() const { return count_ == 0; }
  int64_t count() const { return count_; }
  int64_t zeros() const { return zeros_; }     // how many elements are 0; they lie in bin kMiddle
  float min() const { return extremes_.min; }  // exact; +inf and -inf while empty
  float max() const { return extremes_.max; }

  // Elements in each bin; kBins numbers. Bin i holds what is at least edge(i) and less than edge(i + 1).
  const std::vector<int64_t>& counts() const { return counts_; }
  double edge(int64_t bin) const { return static_cast<double>(bin - kMiddle) * width(); }
  double width() const;

 private:
  friend class ElementScan;

  void reach(int exponent);  // makes the range at least [-2^exponent, 2^exponent)
  void widen(const Extremes& extremes);
  void merge(const Histogram& other);

  int exponent_ = kLeastExponent;
  int64_t count_ = 0;
  int64_t zeros_ = 0;
  Extremes extremes_;
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins);

  // Where it starts; the scale of a bin index is a normal float from here up to the largest float.
  static constexpr int kLeastExponent = -100;
};

}  // namespace mc
