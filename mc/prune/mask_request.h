// Masks of many weights at once, so that all of them are found before any weight changes, and together.
// Internal.
#pragma once

#include <string>
#include <vector>

#include "mc/prune/structure.h"

namespace mc {

// Weights that share a threshold: one of its own, or a group's.
struct MaskRequest {
  Structure structure;
  double sparsity = 0;
  std::vector<ScoreTensor> scores;
  std::vector<WeightAxes> axes;
  std::vector<std::string> names;

  // Part of the old threshold in the new one; 0 gives exact counts. Of unstructured elements and blocks.
  double threshold_decay = 0;
  double threshold = 0;  // goes in and out

  // One of each weight, or none: masks of an earlier time and values to hold, as a Selection has them. Only
  // looked at when writes_in_place(); else masks are new and nothing is held.
  std::vector<at::Tensor> keep;  // comes out
  std::vector<at::Tensor> hold;
  bool writes_in_place() const;
};

// Throws Error as keep_mask does, naming the weight.
void make_masks(std::vector<MaskRequest>& requests);

// round(sparsity * count), but less than count below a sparsity of 1: something always stays.
int64_t dropped_of(int64_t count, double sparsity);

}  // namespace mc
