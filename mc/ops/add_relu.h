// The residual sum with the Relu behind it, as plans of inference have them (the pass fuse_add_relu).
#pragma once

#include <cstdint>

namespace mc {

// sum = max(a + b, 0) of `count` floats; NaN stays. The sum may lie where `a` lies.
void add_relu(const float* a, const float* b, float* sum, int64_t count);

}  // namespace mc
