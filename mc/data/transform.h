// What happens to a batch between the dataset and the network: augmentation (training only, a pure
// function of seed, epoch and sample) and normalization.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mc/base/options.h"
#include "mc/data/dataset.h"

namespace mc {

struct FlipOptions {
  static constexpr const char* kName = "flip";
  static constexpr const char* kShorthand = "probability";
  double probability = 0.5;
  template <class V>
  void describe(V& v) {
    v.field("probability", probability, "chance of a horizontal mirror image", between(0, 1));
  }
};

struct CropOptions {
  static constexpr const char* kName = "crop";
  static constexpr const char* kShorthand = "padding";
  int64_t padding = 4;
  template <class V>
  void describe(V& v) {
    v.field("padding", padding, "pixels of zero padding around the image before a random crop of its size",
            at_least(0));
  }
};

struct CutoutOptions {
  static constexpr const char* kName = "cutout";
  static constexpr const char* kShorthand = "size";
  int64_t size = 8;
  template <class V>
  void describe(V& v) {
    v.field("size", size, "side in pixels of the square set to the mean (DeVries and Taylor 2017)", above(0));
  }
};

using Augmentation = std::variant<FlipOptions, CropOptions, CutoutOptions>;

struct Normalization {
  std::vector<double> mean = {};  // by channel; empty: 0
  std::vector<double> std = {};   // by channel; empty: 1
};

// Mean and (population) standard deviation by channel (axis 1) of the first input over `samples` samples
// spread evenly over the set (all when negative or more than there are). Bytes count as [0, 1]; a channel
// that never changes gets 1.
Normalization measure_normalization(const Dataset& dataset, int64_t samples);

// Applies `augment` in order, then (x - mean) / std, to the first input of `batch`, in one pass over the
// pixels: float or uint8 (which counts as [0, 1]) becomes float. Augmentation needs [N, C, H, W]. What a
// sample gets depends only on (seed, epoch, its index in the dataset). With nothing to do the batch stays
// as it is. Throws Error when the shapes do not fit.
void transform(Batch& batch, const std::vector<Augmentation>& augment, const Normalization& normalization,
               uint64_t seed, uint64_t epoch);

// dataset.get() and transform(): the same numbers, but in one pass from bytes to the batch where the
// dataset holds raw images.
Batch read_batch(const Dataset& dataset, std::span<const int64_t> indices,
                 const std::vector<Augmentation>& augment, const Normalization& normalization, uint64_t seed,
                 uint64_t epoch);

}  // namespace mc
