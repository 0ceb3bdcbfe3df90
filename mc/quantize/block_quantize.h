// Matrices of integers with a scale and a zero point for each block of each row: what weight-only
// quantization makes. A row is one output channel; a block is a run of its inputs.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace mc {

struct BlockGrid {
  int64_t bits = 4;        // 2 to 8
  int64_t block = 32;      // inputs that share a scale; the last block of a row may be shorter
  bool symmetric = false;  // the zero point is the middle of the codes
  int64_t top() const { return (int64_t{1} << bits) - 1; }
  int64_t middle() const { return int64_t{1} << (bits - 1); }
  int64_t blocks(int64_t inner) const { return (inner + block - 1) / block; }
};

// weight = (code - zero) * scale.
struct BlockWeight {
  at::Tensor codes;  // uint8 [rows, inner], 0 to top()
  at::Tensor scale;  // float [rows, blocks], above 0
  at::Tensor zero;   // float [rows, blocks], whole numbers from 0 to top()
};

// Scale and zero point that cover the smallest and largest weight of each block, and 0. `weight` is floating,
// [rows, inner]; codes are left undefined. Throws Error when it holds NaN or infinity.
BlockWeight choose_block_scales(const at::Tensor& weight, const BlockGrid& grid);

// The nearest codes on the scales and zero points of `scales`.
at::Tensor round_to_blocks(const at::Tensor& weight, const BlockWeight& scales, const BlockGrid& grid);

// One number for each element of a row from one for each block of it.
at::Tensor spread_blocks(const at::Tensor& of_blocks, int64_t block, int64_t inner);

// What the codes stand for: float [rows, inner].
at::Tensor dequantize_blocks(const BlockWeight& weight, const BlockGrid& grid);

}  // namespace mc
