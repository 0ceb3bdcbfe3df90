#include "mc/quantize/weight_range.h"

#include <bit>

#include <ATen/ATen.h>

#include "mc/ops/fake_quantize.h"

namespace mc {
namespace {

// Squared error of each channel when the range is this part of the largest magnitude.
class RangeError {
 public:
  explicit RangeError(const WeightQuantizer& quantizer) : quantizer_(quantizer) {
    const auto [low, high] = observed_range(quantizer.weight, quantizer.options.axis);
    limit_ = at::maximum(low.abs(), high.abs());
  }

  at::Tensor scale(const at::Tensor& part) const {
    const FakeQuantizeOptions& options = quantizer_.options;
    return choose_qparams(-limit_ * part, limit_ * part, options.quant_min, options.quant_max, true).first;
  }

  at::Tensor operator()(const at::Tensor& part) const {
    FakeQuantizeState state = quantizer_.state;
    state.scale = scale(part);
    const at::Tensor error =
        (fake_quantize(quantizer_.weight, state, quantizer_.options) - quantizer_.weight).square_();
    const int64_t axis = quantizer_.options.axis;
    return axis < 0 ? error.sum().reshape({1}) : error.transpose(0, axis).flatten(1).sum(1);
  }

  at::Tensor whole() const { return at::ones_like(limit_); }

 private:
  const WeightQuantizer& quantizer_;
  at::Tensor limit_;  // largest magnitude of each channel
};

}  // namespace

at::Tensor least_squares_scale(const WeightQuantizer& quantizer) {
  const at::NoGradGuard no_grad;
  const RangeError error(quantizer);
  at::Tensor best = error.whole();
  at::Tensor least = error(best);
  const auto consider = [&](const at::Tensor& part) {
    const at::Tensor now = error(part);
    const at::Tensor better = now < least;
    best = at::where(better, part, best);
    least = at::where(better, now, least);
  };
  for (int step = 19; step > 0; --step) consider(error.whole() * (0.05 * step));
  const at::Tensor middle = best;
  for (int step = -4; step <= 4; ++step) {
    if (step != 0) consider(at::clamp(middle + 0.01 * step, 0.05, 1.0));
  }
  return error.scale(best);
}

void set_weight_ranges(GraphModule& prepared, const QuantizeOptions& options) {
  const at::NoGradGuard no_grad;
  const Model model = prepared.graph();
  for (const WeightQuantizer& quantizer : weight_quantizers(model)) {
    const int64_t steps = quantizer.options.quant_max - quantizer.options.quant_min;
    if (!options.weights_by_error(std::bit_width(static_cast<uint64_t>(steps)))) continue;
    const at::Tensor scale = least_squares_scale(quantizer);
    prepared.tensor(quantizer.scale).copy_(scale);
  }
}

}  // namespace mc
