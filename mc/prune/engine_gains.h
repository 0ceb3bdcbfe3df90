// Which kinds of sparsity make a model faster on which engine. What is written here is what the engines' own
// documentation says of them; a measured latency stands beside it wherever an engine is there.
#pragma once

#include <string>
#include <vector>

#include "mc/prune/pattern.h"

namespace mc {

struct EngineGain {
  std::string engine;
  bool faster = false;
  std::string why;
};

// onnxruntime, openvino, tensorrt, torch.
std::vector<EngineGain> engine_gains(const SparsityPattern& pattern);

}  // namespace mc
