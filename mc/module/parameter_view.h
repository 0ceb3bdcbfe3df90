// What pruning and distillation see of any module: its parameters by name and kind. GraphModules tell
// kinds from the graph, plain torch::nn modules from the type of the submodule that owns the tensor.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace mc {

enum class ParameterKind { kConv, kLinear, kEmbedding, kRecurrent, kBias, kNorm, kOther };
const char* parameter_kind_name(ParameterKind kind);

struct ParameterView {
  std::string name;   // as named_parameters() gives it
  at::Tensor tensor;  // the live parameter
  ParameterKind kind;
  int64_t channel_axis = 0;  // axis of output channels
};

std::vector<ParameterView> parameter_views(torch::nn::Module& module);

}  // namespace mc
