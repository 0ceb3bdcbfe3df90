// The weights that a prepared model quantizes: what stands behind each FakeQuantize of a weight.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/ops/fake_quantize.h"

namespace mc {

struct WeightQuantizer {
  std::string value;        // the quantized weight, as its layers read it
  std::string initializer;  // the float weight
  std::string scale;        // initializer of the scale
  at::Tensor weight;        // float, what is rounded: the initializer times `factor`
  at::Tensor factor;        // of a folded batch norm, shaped to meet the weight; undefined: none
  FakeQuantizeState state;
  FakeQuantizeOptions options;
  bool shared = false;  // something else reads the initializer too, so that it must stay as it is

  // A number a channel (or one) in the shape that meets the weight.
  at::Tensor shaped(const at::Tensor& per_channel) const;
};

// The float values that a weight's quantizer reads, by the tensors of its names: an initializer, or one
// scaled by a folded batch norm, whose factor comes second, shaped to meet the weight (undefined: none).
using TensorOf = std::function<at::Tensor(const std::string& name)>;
struct WeightBehind {
  std::string initializer;
  at::Tensor weight;
  at::Tensor factor;
};
WeightBehind weight_behind(const Graph& graph, const Uses& uses, const Node& quantizer,
                           const TensorOf& tensor_of);

// Of every FakeQuantize whose input is a float weight or a folded one, in the order of the graph. The tensors
// may share the model's bytes: they are for reading.
std::vector<WeightQuantizer> weight_quantizers(const Model& model);

}  // namespace mc
