// What happens to a batch between the dataset and the network: augmentation (training only, a pure
// function of seed, epoch and sample) and normalization.
#pragma once

#include <cstdint>
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
  std::vector<double> mean;  // by channel; empty: 0
  std::vector<double> std;   // by channel; empty: 1
};

// Mean and standard deviation by channel of the first input over (up to) `samples` samples.
Normalization measure_normalization(const Dataset& dataset, int64_t samples);

// Applies `augment` (skipped when empty) then `normalization` to the first input of `batch`, in one pass
// over the pixels.
void transform(Batch& batch, const std::vector<Augmentation>& augment, const Normalization& normalization,
               uint64_t seed, uint64_t epoch);

}  // namespace mc
