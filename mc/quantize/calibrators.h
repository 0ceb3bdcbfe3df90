// Calibrators turn what was seen of a value into the range that its quantizer covers. All of them read the
// same statistics, which one pass over the samples gathers; to add one, write its file, declare it here and
// name it in calibrators.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/quantize/histogram.h"

namespace mc {

// From min to max; a quantizer widens it to hold 0.
struct ValueRange {
  double min = 0;
  double max = 0;
};

// What one pass gathers of one value.
struct ValueStatistics {
  ValueRange seen;     // smallest and largest element
  ValueRange average;  // of the batches' smallest and largest elements
  int64_t batches = 0;
  Histogram histogram;  // empty where no calibrator needs it

  // Adds a batch; with `bins` the histogram too. Throws Error for NaN and infinity; nothing has been added
  // then. An empty batch is passed over.
  void add(const at::Tensor& x, bool bins, double averaging);

  // Adds the extremes of a batch, not its histogram. The average weighs all batches alike until one weighs
  // `averaging`, which then stays the weight of the newest.
  void add(const Extremes& extremes, double averaging);
};

// The integers of the quantizer; choose_qparams (mc/ops/fake_quantize.h) says how scale and zero point follow
// from them and a range.
struct QuantGrid {
  int64_t quant_min = 0;
  int64_t quant_max = 255;
  bool symmetric = false;
  int64_t levels() const { return quant_max - quant_min + 1; }
};

struct CalibratorOptions {
  double percentile = 99.99;  // 50 to 100
};

struct Calibrator {
  std::string name;
  std::string summary;
  bool needs_histogram = false;
  // `statistics` hold at least one element. The result lies within what was seen.
  ValueRange (*range)(const ValueStatistics& statistics, const QuantGrid& grid,
                      const CalibratorOptions& options) = nullptr;
};

const std::vector<Calibrator>& calibrators();
std::vector<std::string> calibrator_names();
const Calibrator& find_calibrator(const std::string& name);  // Error with the nearest name

// What was seen.
ValueRange min_max_range(const ValueStatistics&, const QuantGrid&, const CalibratorOptions&);

// The mean over batches of their smallest and largest elements, so that one outlier matters less.
ValueRange moving_average_range(const ValueStatistics&, const QuantGrid&, const CalibratorOptions&);

// Leaves out the part of the elements beyond the percentile: at either end alone, or of the magnitudes where
// the grid is symmetric. The end at 0 of a value without negative elements stays. Elements count as spread
// evenly over their bin.
ValueRange percentile_range(const ValueStatistics&, const QuantGrid&, const CalibratorOptions&);

// The clipping that loses least information: least Kullback-Leibler divergence of the quantized distribution
// from the one seen (S. Migacz, "8-bit inference with TensorRT", GTC 2017). What lies outside counts into the
// outermost bins of the reference that are not empty; bins that are empty in it stay empty. Elements that are
// 0 are left out: every grid holds 0 exactly.
ValueRange entropy_range(const ValueStatistics&, const QuantGrid&, const CalibratorOptions&);

// The clipping with the least expected squared error of this very grid, elements spread evenly over their bin
// (as R. Banner et al., "Post training 4-bit quantization of convolutional networks for rapid-deployment",
// NeurIPS 2019, section 3, but from the histogram instead of a fitted distribution).
ValueRange mse_range(const ValueStatistics&, const QuantGrid&, const CalibratorOptions&);

// The mean squared error of quantizing what the histogram holds over `range`.
double expected_squared_error(const Histogram& histogram, const QuantGrid& grid, const ValueRange& range);

}  // namespace mc
