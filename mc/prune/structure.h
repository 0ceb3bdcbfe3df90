// Which elements of a weight are pruned together, and how many of them: from scores to a mask.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/module/parameter_view.h"

namespace mc {

// Scores of a weight's elements, higher keeps. `absolute` scores are |values|, so that magnitude needs no
// copy of the weight.
struct ScoreTensor {
  at::Tensor values;  // floating point
  bool absolute = false;
};

// Axes of a weight by meaning. PyTorch's linear weight is [out, in], the one of ONNX's MatMul [in, out];
// a convolution is [out, in / groups, kernel...], a transposed one [in, out / groups, kernel...].
struct WeightAxes {
  int64_t output = 0;
  int64_t input = 1;
};
WeightAxes weight_axes(const ParameterView& view);

// Every element by itself. Exactly round(sparsity * elements) go; of equal scores those that stand later in
// memory. One element always stays.
struct Unstructured {};

// Each `block_size` neighbours lose the same part: round(sparsity * block_size), at least one stays
// (uniform_magnitude of model_compression_research; Yao et al. 2019, "Balanced Sparsity"). Neighbours follow
// the input channels, then the other axes in order; what is left over at the end is a smaller group.
struct Uniform {
  int64_t block_size = 1;
};

// Blocks go as a whole, by the mean or the largest of their scores; round(sparsity * blocks) of them.
// `block_dims` counts elements along the input channels, the output channels and then the axes of a kernel,
// as model_compression_research does for matrices: {3, 2} is 3 inputs by 2 outputs, a single {b} is b by b.
// Axes that are not named have blocks of 1, so that {8, 4} prunes each position of a kernel by itself. Where
// a block does not divide an axis, the last block is smaller; its mean is that of the elements it has.
struct Blocks {
  std::vector<int64_t> block_dims = {1};
  std::string pooling_type = "avg";  // avg, max
};

// At most `n` of each `m` successive input channels stay, for each output and each position of a kernel,
// which is what sparse tensor cores read (Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks").
// The full sparsity is 1 - n / m; on the way there, round(sparsity * m) of each group go. The group left over
// at the end is seen as filled up with zeros. Throws Error where there are fewer than m input channels.
struct NToM {
  int64_t n = 2;
  int64_t m = 4;
};

// What is not zero stays, whatever the sparsity: locks the pattern that a weight has.
struct Nonzero {};

using Structure = std::variant<Unstructured, Uniform, Blocks, NToM, Nonzero>;

// bool, of the shape, device and memory layout of `scores`; true keeps. sparsity is in [0, 1]. Throws Error
// for a sparsity outside of that, scores that are NaN or infinite, and a structure that the shape cannot
// have.
at::Tensor keep_mask(const ScoreTensor& scores, double sparsity, const Structure& structure,
                     const WeightAxes& axes = {});

// The same for several weights as if they were one: one threshold for all (global or grouped pruning). Of
// unstructured elements and of blocks; other structures are counted within each weight anyway.
std::vector<at::Tensor> keep_masks(const std::vector<ScoreTensor>& scores, double sparsity,
                                   const Structure& structure, const std::vector<WeightAxes>& axes);

// Throws Error when a weight of this shape cannot be pruned so, saying why; nothing is computed.
void check_structure(const Structure& structure, at::IntArrayRef shape, const WeightAxes& axes);

}  // namespace mc
