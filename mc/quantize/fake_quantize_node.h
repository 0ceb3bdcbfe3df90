// FakeQuantize nodes for a target, with their state as initializers of the graph.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

// Metadata key on a FakeQuantize node of a weight, whose range is that of its values in every step.
inline constexpr const char* kQuantizesWeight = "mc.quantizes_weight";

// True for a FakeQuantize of an activation, whose range must be observed.
bool quantizes_activation(const Node& node);

// Makes nodes whose state is named "BASE_quantizer.scale", "...zero_point", "...running_min",
// "...running_max" and "...flags". The nodes are not yet in the graph; their initializers are.
class FakeQuantizeMaker {
 public:
  FakeQuantizeMaker(Model& model, const QuantizeOptions& options);

  // Per tensor, nothing observed yet.
  Node activation(const std::string& input, const std::string& output, const std::string& base);

  // Symmetric, ranges from the weight's own values in every step; `values` are its values now, `axis`
  // counts output channels.
  Node weight(const std::string& input, const std::string& output, const std::string& base,
              const at::Tensor& values, int64_t axis);

 private:
  Node make(const std::string& input, const std::string& output, const std::string& base,
            const std::vector<at::Tensor>& state);

  Graph& graph_;
  const QuantizeOptions& options_;
  const QuantizeTarget& target_;
};

}  // namespace mc
