#include <ATen/ATen.h>

#include "mc/quantize/weight_methods.h"

namespace mc {
namespace {

constexpr double kNorm = 0.7;    // p of the l_p norm
constexpr double kBeta = 10;     // weight of the quadratic term, for errors in steps of the grid
constexpr double kKappa = 1.01;  // by which it grows with each iteration
constexpr int kIterations = 20;

// What of the error counts as outliers: the proximal operator of the l_p norm.
at::Tensor shrink(const at::Tensor& error, double beta) {
  const at::Tensor magnitude = error.abs();
  return error.sign() * (magnitude - (magnitude + 1e-8).pow(kNorm - 1) / beta).clamp_min(0);
}

}  // namespace

BlockWeight quantize_hqq(const at::Tensor& weight, const BlockGrid& grid) {
  const int64_t rows = weight.size(0), inner = weight.size(1), blocks = grid.blocks(inner);
  BlockWeight best = choose_block_scales(weight, grid);
  // Blocks become rows; what fills the last one counts for nothing.
  const at::Tensor w =
      at::constant_pad_nd(weight, {0, blocks * grid.block - inner}).reshape({-1, grid.block});
  const at::Tensor counts =
      at::constant_pad_nd(at::ones_like(weight), {0, blocks * grid.block - inner}).reshape({-1, grid.block});
  at::Tensor scale = best.scale.reshape({-1, 1}), zero = best.zero.reshape({-1, 1});
  at::Tensor best_scale = scale, best_zero = zero, least;
  double beta = kBeta;
  for (int i = 0; i <= kIterations; ++i, beta *= kKappa) {
    const at::Tensor codes = (at::round(w / scale) + zero).clamp(0, grid.top());
    const at::Tensor error = (w - (codes - zero) * scale) * counts;
    const at::Tensor norm = error.abs().pow(kNorm).sum(1, true);
    const at::Tensor better = i == 0 ? at::ones_like(norm, at::kBool) : norm < least;
    best_scale = at::where(better, scale, best_scale);
    best_zero = at::where(better, zero, best_zero);
    least = i == 0 ? norm : at::minimum(norm, least);
    const at::Tensor target = w - shrink(error / scale, beta) * scale;
    if (!grid.symmetric) {
      const at::Tensor mean = ((codes - target / scale) * counts).sum(1, true) / counts.sum(1, true);
      zero = at::round(mean).clamp(0, grid.top());
    }
    const at::Tensor centred = (codes - zero) * counts;
    const at::Tensor fitted = (centred * target).sum(1, true) / centred.square().sum(1, true);
    scale = at::where(fitted > 0, fitted, scale);  // false for 0 / 0 too
  }
  best.scale = best_scale.reshape({rows, blocks}).contiguous();
  best.zero = best_zero.reshape({rows, blocks}).contiguous();
  best.codes = round_to_blocks(weight, best, grid);
  return best;
}

}  // namespace mc
