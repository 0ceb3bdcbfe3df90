// Operators of the signal family that fill a file of their own.
#pragma once

#include <vector>

#include "mc/ops/op.h"

namespace mc {

std::vector<Op> spectral_window_ops();  // HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix

}  // namespace mc
