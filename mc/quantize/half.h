// A float32 model in float16 or bfloat16: half the bytes, and twice the speed where the hardware has the
// type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct HalfOptions {
  DType type = DType::kFloat16;              // or kBFloat16
  bool convert_io = false;                   // inputs and outputs of the model too; else they keep float32
  std::vector<std::string> keep_float = {};  // node names or globs
};

// Constants with values beyond the largest finite one of the type (float16: 65504), which are clamped to it.
struct ClampedConstant {
  std::string name;
  int64_t elements = 0;
};

struct HalfModel {
  Model model;
  std::vector<LayerQuantization> layers;  // every node with float32 inputs or outputs
  std::vector<ClampedConstant> clamped;
};

// Subgraphs are converted too. Casts stand only where a value of one type is read as the other, one for each
// value and graph. A single number that would become 0 (an epsilon) becomes the least positive number
// instead. bfloat16 raises the opset to 22, from which on nearly all operators take it. Throws Error: another
// type, a pattern without a node, a model without float32 values or one that is quantized already.
HalfModel convert_to_half(const Model& model, const HalfOptions& options = {});

// Why operators keep float32, whatever the user says; null for those that need not.
const char* half_obstacle(const Node& node, DType type);

}  // namespace mc
