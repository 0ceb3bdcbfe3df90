// How much of a module is zero.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace mc {

// Part of the elements that are zero; 0 for an empty tensor.
double get_tensor_sparsity_ratio(const at::Tensor& tensor);

// The same by weight, of all weights that pruning would look at (convolution, linear, embedding, recurrent).
std::map<std::string, double> weight_sparsity(torch::nn::Module& module);

}  // namespace mc
