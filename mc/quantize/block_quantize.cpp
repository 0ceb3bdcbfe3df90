#include "mc/quantize/block_quantize.h"

#include <tuple>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {

BlockWeight choose_block_scales(const at::Tensor& weight, const BlockGrid& grid) {
  MC_CHECK(at::isfinite(weight).all().item<bool>(), "the weight holds NaN or infinity");
  const int64_t inner = weight.size(1), blocks = grid.blocks(inner);
  // Zeros fill the last block: every range holds 0 anyway.
  const at::Tensor filled = at::constant_pad_nd(weight.to(at::kFloat), {0, blocks * grid.block - inner})
                                .reshape({weight.size(0), blocks, grid.block});
  const at::Tensor low = filled.amin(2).clamp_max(0), high = filled.amax(2).clamp_min(0);
  at::Tensor scale = grid.symmetric ? at::maximum(high / static_cast<double>(grid.middle() - 1),
                                                  low / -static_cast<double>(grid.middle()))
                                    : (high - low) / static_cast<double>(grid.top());
  scale = at::where(scale > 0, scale, at::ones_like(scale));
  const at::Tensor zero = grid.symmetric ? at::full_like(scale, static_cast<double>(grid.middle()))
                                         : at::round(-low / scale).clamp(0, grid.top());
  return {{}, scale, zero};
}

at::Tensor spread_blocks(const at::Tensor& of_blocks, int64_t block, int64_t inner) {
  return of_blocks.repeat_interleave(block, 1).narrow(1, 0, inner);
}

at::Tensor round_to_blocks(const at::Tensor& weight, const BlockWeight& scales, const BlockGrid& grid) {
  const int64_t inner = weight.size(1);
  return (at::round(weight / spread_blocks(scales.scale, grid.block, inner)) +
          spread_blocks(scales.zero, grid.block, inner))
      .clamp(0, grid.top())
      .to(at::kByte);
}

at::Tensor dequantize_blocks(const BlockWeight& weight, const BlockGrid& grid) {
  const int64_t inner = weight.codes.size(1);
  return (weight.codes.to(at::kFloat) - spread_blocks(weight.zero, grid.block, inner)) *
         spread_blocks(weight.scale, grid.block, inner);
}

}  // namespace mc
