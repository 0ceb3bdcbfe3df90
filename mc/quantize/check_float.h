// Quantizing starts from a float model.
#pragma once

#include "mc/graph/graph.h"

namespace mc {

// Throws Error that names the first node of the outermost graph that quantizes or computes on integers:
// QuantizeLinear/DequantizeLinear pairs, ONNX's and ONNX Runtime's integer operators, FakeQuantize.
void check_float(const Graph& graph);

}  // namespace mc
