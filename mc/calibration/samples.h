// The samples that calibrate, for as many passes as a method needs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/module/graph_module.h"

namespace mc {

// The next batch, inputs in the order of the module's; nothing at the end. Shapes may differ between batches.
using NextBatch = std::function<std::optional<Batch>()>;

struct Samples {
  std::function<NextBatch()> pass;  // begins a pass: the same batches every time
  int64_t count = 0;                // samples that a pass gives
};

// `count` samples (0: all) spread over the dataset, whose fields are in the order of the model's inputs, on
// the device. Samples whose shapes vary come one by one; a model of a fixed batch gets full ones. Throws
// Error where there are too few.
Samples calibration_samples(std::shared_ptr<const Dataset> dataset, const Normalization& normalization,
                            int64_t count, const Graph& graph, at::Device device = at::kCPU);

// Calls `visit` with every batch of one pass, showing progress under the title. Throws Error when
// interrupted.
void for_each_batch(const Samples& samples, const std::string& title,
                    const std::function<void(const Batch&)>& visit);

}  // namespace mc
