// Which values inside a model can be watched on any engine without changing what the engine runs.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"

namespace mc {

// The numbers that integers stand for: (integer - zero_point) * scale, one grid for the whole tensor.
struct Grid {
  float scale = 1;
  int64_t zero_point = 0;
  DType dtype = DType::kUInt8;  // uint8, int8, uint16 or int16
  bool operator==(const Grid&) const = default;

  at::Tensor dequantize(const at::Tensor& integers) const;  // float
  // Integers of `dtype`, ties to even, saturated (ONNX's QuantizeLinear).
  at::Tensor quantize(const at::Tensor& values) const;
};

struct TapPoint {
  std::string value;   // what it is called: of a quantizer, the value that DequantizeLinear gives
  std::string tensor;  // what becomes an output: the integers of a quantizer, else `value` itself
  std::string node;    // label of the node that computes it, before its activation and quantizer
  std::optional<Grid> grid;
};

// Values that depend on the graph's inputs: the rest is the same for every sample.
std::set<std::string> live_values(const Graph& graph);

// Whether values that depend on the inputs pass a QuantizeLinear, or an operator that gives integers.
bool has_quantizers(const Graph& graph);

// In a model with quantizers: the integers behind every QuantizeLinear with one scale, those of operators
// that give 8-bit integers themselves, and what convolutions and products left in float give once the
// additions and activations that engines fuse into them are done. What lies between a DequantizeLinear and
// a QuantizeLinear is no output of an integer kernel, so reading it would keep the engine from using one. In
// a float model every float value. The graph's outputs last, where they are not among these. Needs inferred
// types; the outermost graph only.
std::vector<TapPoint> tap_points(const Model& model);

}  // namespace mc
