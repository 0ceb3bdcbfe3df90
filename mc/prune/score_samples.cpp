#include "mc/prune/score_samples.h"

#include <cstdint>
#include <optional>
#include <utility>

namespace mc {

Samples score_samples(const ScoreData& data) {
  return {[data]() -> NextBatch {
            return [data, next = int64_t{0}]() mutable -> std::optional<Batch> {
              if (next >= data.batches) return std::nullopt;
              Batch batch;
              batch.inputs = data.inputs(next++);
              const bool counted = !batch.inputs.empty() && batch.inputs[0].dim() > 0;
              batch.indices.resize(counted ? static_cast<size_t>(batch.inputs[0].size(0)) : 1);
              return batch;
            };
          },
          0};
}

}  // namespace mc
