// Learns the rounding of all weights of one region so that the region gives what it gave in float.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/quantize/region_samples.h"
#include "mc/quantize/rounding_regions.h"
#include "mc/quantize/weight_quantizer.h"

namespace mc {

struct ReconstructOptions {
  int64_t iterations = 2000;
  double warm_start = 0.2;      // part of the iterations without the regularizer
  double learning_rate = 0.01;  // of V
  // Weight of the regularizer, in units of the squared error that rounding one weight to nearest causes, so
  // that the scale of the activations does not matter.
  double strength = 1.0;
  uint64_t seed = 0;
};

struct Reconstruction {
  std::vector<at::Tensor> weights;  // as rounded, in the order of RoundingRegion::weights
  double error_nearest = 0;         // mean squared error of the region's result over the samples
  double error_learned = 0;         // at most error_nearest: what did not help is not taken
};

// `model` is the prepared model as quantized so far. Minimizes the mean squared error between the region on
// the quantized model's values (its own quantizers of activations included) and the target, plus the
// regularizer; 32 samples a step or as many as a batch has (Nagel et al. 2020, eq. 25; for blocks Li et al.
// 2021, eq. 10). `progress` gets the step after every step. Throws Error: kInterrupted, and what the region's
// nodes throw.
Reconstruction reconstruct(const Model& model, const RoundingRegion& region,
                           const std::vector<WeightQuantizer>& quantizers, RegionSamples& samples,
                           const ReconstructOptions& options,
                           const std::function<void(int64_t step)>& progress);

}  // namespace mc
