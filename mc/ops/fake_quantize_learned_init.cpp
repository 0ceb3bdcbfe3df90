#include <cmath>

#include <ATen/ATen.h>

#include "mc/ops/fake_quantize_composed.h"
#include "mc/ops/fake_quantize_learned.h"
#include "mc/ops/fake_quantize_observers.h"

namespace mc {
namespace {

// One row a channel.
at::Tensor channel_rows(const at::Tensor& active, int64_t axis) {
  if (axis < 0) return active.reshape({1, -1});
  return active.transpose(0, axis).flatten(1).reshape({active.size(axis), -1});
}

// Channels of zeros (all their scales are right) get scale 1.
void set_scale(const LearnedQuantizer& quantizer, const at::Tensor& scale) {
  quantizer.scale.copy_(at::where(scale > 0, scale, at::ones({}, scale.options())));
}

}  // namespace

bool initialize(const at::Tensor& x, const LearnedQuantizer& quantizer, const FakeQuantizeOptions& options,
                LearnedInit init) {
  const at::NoGradGuard no_grad;
  if (x.numel() == 0) return false;
  const at::Tensor rows = channel_rows(activated(x.detach(), options).to(at::kFloat), options.axis);
  const at::Tensor magnitude = rows.abs().mean(1);
  const auto total = magnitude.sum().item<double>();
  if (!std::isfinite(total) || total == 0) return false;
  const bool is_signed = options.symmetric && options.quant_min < 0;
  const int64_t middle = is_signed ? 0 : (options.quant_min + options.quant_max + 1) / 2;
  const bool negative = rows.amin().item<float>() < 0;
  const int64_t zero = is_signed || negative ? middle : options.quant_min;
  const auto positive = static_cast<double>(options.quant_max - zero);
  quantizer.zero_point.fill_(zero);
  if (init == LearnedInit::kLsq) {
    set_scale(quantizer, magnitude * (2 / std::sqrt(positive)));
  } else if (!quantizer.offset.defined()) {
    const at::Tensor mean = rows.mean(1), spread = 3 * rows.std(1, /*unbiased=*/false);
    set_scale(quantizer, at::maximum((mean - spread).abs(), (mean + spread).abs()) / positive);
  } else {
    const auto [low, high] = least_error_range(subsample(rows.flatten()), options);
    const auto [scale, point] =
        choose_qparams(low, high, options.quant_min, options.quant_max, options.symmetric);
    set_scale(quantizer, scale.reshape({1}).expand_as(quantizer.scale));
    quantizer.zero_point.copy_(point.reshape({1}).expand_as(quantizer.zero_point));
  }
  if (quantizer.offset.defined()) {
    quantizer.offset.copy_(quantizer.scale * quantizer.zero_point.neg().to(at::kFloat));
  }
  return true;
}

}  // namespace mc
