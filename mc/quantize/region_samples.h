// What learned rounding sees of one region: the values that enter it in the model quantized so far, and the
// float model's result, for the calibration samples.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/random.h"
#include "mc/data/dataset.h"
#include "mc/data/loader.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/rounding_regions.h"

namespace mc {

// At most so many bytes of entries and targets are held at a time (but one batch at least).
inline constexpr int64_t kRegionCacheBytes = int64_t{1} << 30;

// The calibration samples in batches, from any batch on, each with the same samples in every pass.
class RoundingBatches {
 public:
  // `single`: samples cannot be mixed, as their shapes vary or the model fixes its batch.
  RoundingBatches(Loader& loader, bool single);
  int64_t count() const { return loader_.batches(); }
  bool mixes() const { return mixes_; }
  void start(int64_t first) { loader_.start(0, first); }
  std::vector<at::Tensor> next();

 private:
  Loader& loader_;
  bool mixes_;
};

// Tensors of one batch to learn from.
struct RegionBatch {
  std::vector<at::Tensor> entries;  // in the order of RoundingRegion::entries
  at::Tensor target;
};

class RegionSamples {
 public:
  // `quantized` gives the entries and `reference` the target, from the model's inputs. Where there are more
  // batches than fit into `cache_bytes`, a window of them is held, which load() moves.
  RegionSamples(GraphModule& quantized, GraphModule& reference, RoundingBatches& batches,
                int64_t cache_bytes = kRegionCacheBytes);

  int64_t windows() const;
  void load(int64_t window);  // nothing is done for the one held; window 0 is held at first
  int64_t batches() const;    // of the window held
  RegionBatch batch(int64_t index) const;
  // As many samples as a batch has, drawn from the whole window; where samples cannot be mixed, one batch.
  RegionBatch draw(Random& random) const;

  std::vector<DType> entry_types() const;

 private:
  using Tensors = std::vector<at::Tensor>;  // the entries, then the target

  Tensors run(const Tensors& inputs);
  bool follow_the_batch(const Tensors& inputs, const Tensors& values);
  void keep(Tensors values, int64_t expected_rows);

  GraphModule& quantized_;
  GraphModule& reference_;
  RoundingBatches& batches_;
  bool mixes_ = false;         // the first axis of every tensor is that of the samples
  std::vector<Tensors> held_;  // batches one by one; mixed: all rows together, room for more included
  int64_t rows_ = 0;           // mixed: samples held
  int64_t batch_rows_ = 0;
  int64_t per_window_ = 1;
  int64_t window_ = -1;
};

}  // namespace mc
