// Builders of well-known networks as ONNX Models (opset 17), ready to train: the usual initialisations,
// batch norm in training form, names as torchvision and the papers have them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct ModelOptions {
  std::vector<int64_t> input_shape = {3, 32, 32};  // C, H, W of one sample (or one length for mlp)
  int64_t classes = 10;
  double width = 1.0;  // multiplies every channel count, rounded to a multiple of 8
  uint64_t seed = 0;
};

struct ModelBuilder {
  std::string name;     // "resnet20"
  std::string summary;  // one line, with its source
  std::vector<int64_t> usual_input;
  Model (*build)(const ModelOptions&);
};

// resnet8, resnet20 (He et al. 2015, section 4.2), resnet18, resnet50, mobilenet_v2, mobilenet_v3_small, mlp,
// vit.
const std::vector<ModelBuilder>& model_builders();

// Throws Error with the nearest name for an unknown one, and when the input shape does not suit it.
Model build_model(const std::string& name, const ModelOptions& options = {});

}  // namespace mc
