#include "mc/graph/fixed_batch.h"

namespace mc {

int64_t fixed_batch(const Type& type) {
  const bool fixed = type.is_tensor() && type.shape && !type.shape->empty() && type.shape->front().known();
  return fixed ? type.shape->front().value : -1;
}

int64_t fixed_batch(const Graph& graph) {
  for (const ValueInfo* input : graph.real_inputs()) {
    if (const int64_t fixed = fixed_batch(input->type); fixed >= 0) return fixed;
  }
  return -1;
}

}  // namespace mc
