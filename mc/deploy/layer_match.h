// Which value of one model is which of another.
#pragma once

#include <string>
#include <vector>

#include "mc/deploy/tap_points.h"

namespace mc {

struct TapPair {
  TapPoint reference;
  TapPoint other;
};

// In the order in which `other` computes them; outputs of the graphs correspond by position too. Needs
// inferred types in both.
std::vector<TapPair> match_taps(const Model& reference, const Model& other);

}  // namespace mc
