// The inner loops of fake quantization on the CPU: plain arrays in, plain arrays out, one pass each,
// vectorized for the processor that runs them. bfloat16 values come as their 16 bits; all arithmetic is in
// float.
#pragma once

#include <cstdint>

namespace mc::loops {

// Elements are handled in blocks; the last one may be shorter. A block has one 32-bit word for each of 16
// lanes: bit r of word j belongs to element 16 r + j. So the bits are made and read without crossing lanes.
inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kBlock = 32 * kLanes;

// One scale for each element of a block.
struct Scales {
  alignas(64) float inverse[kBlock];  // 1 / scale
  alignas(64) float zero[kBlock];     // zero point
  alignas(64) float scale[kBlock];
};

// The activation clamps to [low, high]; its gradient passes where pass_above < x <= pass_up_to.
struct Range {
  float quant_min, quant_max;
  float low, high;
  float pass_above, pass_up_to;
};

// y = (clamp(round(clamp(x) / scale) + zero) - zero) * scale for `count` (at most kBlock) elements, ties to
// even, NaN stays NaN. `bits` (kLanes words, or null) gets a 1 where the gradient passes: inside the
// activation's slope and the quantized range, its ends included.
void fake_quantize(const float* x, float* y, uint32_t* bits, int64_t count, const Scales& scales,
                   const Range& range);
void fake_quantize(const uint16_t* x, uint16_t* y, uint32_t* bits, int64_t count, const Scales& scales,
                   const Range& range);

// grad_x = grad_y where the bit is 1, else 0.
void apply_bits(const float* grad_y, float* grad_x, const uint32_t* bits, int64_t count);
void apply_bits(const uint16_t* grad_y, uint16_t* grad_x, const uint32_t* bits, int64_t count);

// What backward of a learned scale needs from `count` elements of one channel: grad_x = grad_y where the
// gradient passes, else 0; and the sums of grad_y times (level - zero - x / scale; level - zero where the
// level was clamped), and of grad_y where it was.
struct OneScale {
  float inverse, zero;
};
struct LearnedSums {
  float scale = 0, clamped = 0;
};
LearnedSums learned_gradient(const float* x, const float* grad_y, float* grad_x, int64_t count,
                             const OneScale& one, const Range& range);
LearnedSums learned_gradient(const uint16_t* x, const uint16_t* grad_y, uint16_t* grad_x, int64_t count,
                             const OneScale& one, const Range& range);

// Lowers `low` and raises `high` to what the elements hold; NaN is passed over.
void min_max(const float* x, int64_t count, float& low, float& high);
void min_max(const uint16_t* x, int64_t count, float& low, float& high);
// The same element by element: x[i] into low[i] and high[i].
void min_max_each(const float* x, int64_t count, float* low, float* high);
void min_max_each(const uint16_t* x, int64_t count, float* low, float* high);

}  // namespace mc::loops
