// A float model and options -> a quantized model: calibrated, or trained.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct TrainingPlan {
  std::shared_ptr<const Dataset> data;
  int64_t epochs = 1;
  double learning_rate = 1e-4;
  uint64_t seed = 0;
  std::filesystem::path checkpoint;  // folder; empty: none
};

// Trains a copy of the model with simulated quantization (AdamW, cosine), its float self as the teacher; the
// labels' loss takes part where there are classes. Throws Error as train_stage does.
Model quantize_by_training(const Model& model, const TrainingPlan& plan, const Normalization& normalization,
                           const QuantizeOptions& options);

// A module that prepare_qat prepared and that is calibrated, in the model's inference form.
std::shared_ptr<GraphModule> calibrated_module(const Model& model, std::shared_ptr<const Dataset> calibration,
                                               const Normalization& normalization,
                                               const QuantizeOptions& options);

}  // namespace mc
