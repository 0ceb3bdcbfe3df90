// Which pattern the zeros of a weight form: what decides whether an engine can run it faster.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace mc {

struct SparsityPattern {
  enum class Kind {
    kDense,         // less than 0.1 % zeros
    kUnstructured,  // zeros anywhere
    kBlock,         // rectangles of inputs by outputs are zero as a whole
    kNToM,          // at most n of each m successive inputs are not zero
    kChannels,      // whole output channels are zero: they can be cut
  };
  Kind kind = Kind::kDense;
  double sparsity = 0;        // part of zeros
  int64_t n = 0, m = 0;       // of kNToM; of kBlock: inputs by outputs of a block
  int64_t zero_channels = 0;  // output channels that hold only zeros
};

// "unstructured", "block 8x4" (inputs x outputs), "2:4", "channels", "dense".
std::string pattern_name(const SparsityPattern& pattern);

// The narrowest pattern that the zeros of a float weight have. Blocks of 2 to 64 and N:M with m of 4, 8 and
// 16 are looked for; a pattern counts where it explains nearly all zeros, so that very sparse random zeros,
// which satisfy many of them, stay unstructured. The other axes (a kernel's) are seen position by position.
// Throws Error where an axis is not the weight's.
SparsityPattern find_pattern(const at::Tensor& weight, int64_t output_axis, int64_t input_axis);

}  // namespace mc
