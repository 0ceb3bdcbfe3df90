// FakeQuantize and LearnedFakeQuantize nodes for a target, with their state as initializers of the graph.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

// Metadata key on a quantizer of a weight; a FakeQuantize's range is that of its values in every step.
inline constexpr const char* kQuantizesWeight = "mc.quantizes_weight";

// True for a FakeQuantize of an activation, whose range must be observed.
bool quantizes_activation(const Node& node);

// True for a FakeQuantize or LearnedFakeQuantize.
bool is_quantizer(const Node& node);

// The name of a quantizer's flags, of which the first two are {observe or learn, quantize}.
const std::string& quantizer_flags(const Node& quantizer);

// Which of a weight's elements share a scale.
struct WeightScales {
  int64_t axis = -1;  // of the channels, or along which blocks lie; negative: one scale for the tensor
  int64_t block = 0;  // neighbours along the axis that share one; 0: the axis counts channels
};

// Makes nodes whose state is named "BASE_quantizer.scale", "...zero_point", "...running_min",
// "...running_max", "...flags", "...histogram" and "...offset". The nodes are not yet in the graph; their
// initializers are.
class FakeQuantizeMaker {
 public:
  // Throws Error when the target cannot take the options' schemes.
  FakeQuantizeMaker(Model& model, const QuantizeOptions& options);

  // Per tensor, nothing observed yet.
  Node activation(const std::string& input, const std::string& output, const std::string& base);

  // Ranges from the weight's own values in every step; `values` are its values now. `bits` is from 2 to 8.
  Node weight(const std::string& input, const std::string& output, const std::string& base,
              const at::Tensor& values, const WeightScales& scales, int64_t bits);

 private:
  using State = std::vector<std::pair<const char*, Tensor>>;

  Node observed(const std::string& input, const std::string& output, const std::string& base,
                const at::Tensor& scale, const at::Tensor& zero_point, const at::Tensor& low,
                const at::Tensor& high);
  Node learned(const std::string& input, const std::string& output, const std::string& base, int64_t channels,
               bool has_offset);
  Node make(const char* op_type, const std::string& input, const std::string& output, const std::string& base,
            State state);

  Graph& graph_;
  const QuantizeOptions& options_;
  const QuantizeTarget& target_;
};

}  // namespace mc
