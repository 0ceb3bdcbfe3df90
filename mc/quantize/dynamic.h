// Dynamic quantization: weights become int8 beforehand, activations uint8 by their own range in every run, so
// that products run on integers without any sample.
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct DynamicOptions {
  bool reduce_range = false;                 // 7-bit weights: u8 times s8 saturates on AVX2 without VNNI
  std::vector<std::string> keep_float = {};  // node names or globs
};

struct DynamicModel {
  Model model;
  std::vector<LayerQuantization> layers;
};

// Every MatMul and Gemm of the outermost graph with a constant float32 matrix becomes DynamicQuantizeLinear
// (one for each value), MatMulInteger with a symmetric scale for each output channel, Cast, Mul and, with a
// bias, Add: the pattern that ONNX Runtime fuses to DynamicQuantizeMatMul or MatMulIntegerToFloat. Recurrent
// layers stay float and are reported. Throws Error: a model that is quantized already, no such layer, a
// pattern without a node, NaN or infinity in a weight.
DynamicModel quantize_dynamic(const Model& model, const DynamicOptions& options = {});

}  // namespace mc
