// FakeQuantize whose scale is a parameter that trains: LSQ (Esser et al., "Learned step size quantization",
// ICLR 2020), and LSQ+ with a learned offset (Bhalgat et al., "LSQ+: improving low-bit quantization through
// learnable offsets and better initialization", CVPR workshops 2020).
//
// The operator, domain "mc", since 1:
//   y = LearnedFakeQuantize(x, scale, zero_point, flags, offset)
//   x: floating, any shape. scale: float [C] ([1] per tensor), trains. zero_point: int32 [C]. flags: int64
//   [3] on the CPU, {learn, quantize, ready}. offset: float [C], optional, trains: the real number that the
//   integer 0 stands for. Attributes: quant_min, quant_max, axis, activation, clip_min, clip_max as
//   FakeQuantize has them; symmetric (a signed grid around zero point 0); batched (axis 0 of x counts
//   samples); init ("lsq" or "lsq_plus").
// The first training run sets scale, zero point and offset from x and then ready = 1 (a value that holds only
// zeros or no finite numbers leaves that to a later one). Not ready, or with flags[1] = 0, y is the
// activation of x. With flags[0] = 0 scale and offset get no gradient. Engines hold whole zero points: with
// an offset the zero point is round(-offset / scale), so that training sees what is deployed, and the
// gradient passes straight through this rounding as through the other.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "mc/ops/fake_quantize.h"

namespace mc {

struct LearnedQuantizer {
  at::Tensor scale;       // float [C]; a scale below float's epsilon counts as that
  at::Tensor zero_point;  // int32 [C]; ignored where there is an offset
  at::Tensor offset;      // float [C] or undefined
};

// The scale and whole zero point that are simulated now, without autograd: what is exported.
FakeQuantizeState settled(const LearnedQuantizer& quantizer, const FakeQuantizeOptions& options);

// activation(x), fake-quantized. Gradients: to x as of fake_quantize(); to the scale (LSQ eq. 3) the sum over
// its channel of g (round(a / s) - a / s) where the level was not clamped, and of g times the level where it
// was; to the offset (LSQ+ eq. 6) the sum of g where it was clamped. Those of scale and offset are multiplied
// by 1 / sqrt(n Qp) (LSQ section 2.2), n the elements of the channel (of one sample of it where `batched`)
// and Qp the levels above the zero point.
at::Tensor learned_fake_quantize(const at::Tensor& x, const LearnedQuantizer& quantizer,
                                 const FakeQuantizeOptions& options, bool batched);

enum class LearnedInit { kLsq, kLsqPlus };

// Sets the quantizer from x and says whether it could; see above. kLsq: scale = 2 mean|a| / sqrt(Qp) (section
// 2.1), the zero point in the middle of an unsigned grid where `a` has negative elements. kLsqPlus: scale =
// max |mean -+ 3 deviation| / Qp (eq. 7) without an offset; else the scale and offset of the least squared
// error among clipped ranges of a subsample. Waits for the device.
bool initialize(const at::Tensor& x, const LearnedQuantizer& quantizer, const FakeQuantizeOptions& options,
                LearnedInit init);

}  // namespace mc
