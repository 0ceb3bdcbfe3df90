#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/quantize/quantize.h"

namespace mc {

const std::vector<QuantizeTarget>& quantize_targets() {
  static const std::vector<QuantizeTarget> targets = {
      // Its integer convolution writes integers, and there is none for ConvTranspose.
      {.name = "onnxruntime", .onnxruntime_form = true, .conv_transpose = false},
      // A convolution takes in what follows it, a residual Add too, before it rounds.
      {.name = "openvino",
       .outputs = QuantizeOutputs::kCarried,
       .spare_residual = true,
       .grouped_conv_transpose = false,
       .carriers = {"Flatten", "MaxPool", "Split"}},
      // NVIDIA's parser takes symmetric activations only, and its kernels a float bias; a residual is
      // quantized on the branch that is not the convolution's own output.
      {.name = "tensorrt",
       .activation_signed = true,
       .activation_symmetric = true,
       .quantize_bias = false,
       .outputs = QuantizeOutputs::kWanted,
       .spare_residual = true,
       .conv_transpose = false,
       .blocked_weights = false,
       .asymmetric_weights = false,
       .int4_weights = false},
  };
  return targets;
}

const QuantizeTarget& find_target(const std::string& name) {
  std::vector<std::string> names;
  for (const QuantizeTarget& target : quantize_targets()) {
    if (target.name == name) return target;
    names.push_back(target.name);
  }
  fail("unknown quantization target '{}'{}; known: {}", name, did_you_mean(name, names), join(names, ", "));
}

}  // namespace mc
