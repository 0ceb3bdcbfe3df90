#include "mc/ops/add_relu.h"

namespace mc {

void add_relu(const float* a, const float* b, float* sum, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float value = a[i] + b[i];
    sum[i] = value < 0 ? 0 : value;
  }
}

}  // namespace mc
