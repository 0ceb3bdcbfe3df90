// A convolution or matrix product as a product of two matrices: what reconstruction of a layer's outputs
// works on.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/calibration/input_statistics.h"
#include "mc/graph/graph.h"

namespace mc {

// A layer's weight (in the initializer's shape) as [groups, outputs, kernel elements * inputs], where
// channels stand innermost, so that neighbours in a row are neighbours along the input channels. A copy.
at::Tensor to_matrix(const Node& node, const at::Tensor& weight);

// The inverse: a matrix's elements, in the initializer's shape.
at::Tensor from_matrix(const Node& node, const at::Tensor& matrix, at::IntArrayRef shape);

// The rows that the matrix multiplies: [groups, windows, kernel elements * inputs], the windows of a Conv
// unfolded. nullopt for a ConvTranspose, whose windows overlap in the output.
std::optional<InputView> layer_input(const Node& node, const std::vector<int64_t>& weight_dims);

}  // namespace mc
