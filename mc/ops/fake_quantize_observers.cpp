#include "mc/ops/fake_quantize_observers.h"

#include <algorithm>
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr double kExponentBias = 1000;
constexpr double kLeastExponent = -100;
constexpr int64_t kMiddleBin = kHistogramBins / 2;
constexpr int64_t kParts = 25;  // clipped ranges that are tried at a time

struct Ends {
  at::Tensor low, high;  // 0-dim, or [K] candidates
};

class ErrorSearch {
 public:
  ErrorSearch(const at::Tensor& values, const at::Tensor& weights, const FakeQuantizeOptions& options)
      : values_(values.reshape({1, -1})), weights_(weights), options_(options) {}

  Ends best(const Ends& candidates) const {
    const at::Tensor least = errors(candidates).argmin();
    return {candidates.low.index_select(0, least.reshape({1})).reshape({}),
            candidates.high.index_select(0, least.reshape({1})).reshape({})};
  }

 private:
  at::Tensor errors(const Ends& ends) const {
    const auto [s, z] =
        choose_qparams(ends.low, ends.high, options_.quant_min, options_.quant_max, options_.symmetric);
    const at::Tensor scale = s.reshape({-1, 1}), zero = z.to(at::kFloat).reshape({-1, 1});
    const at::Tensor level =
        at::clamp(at::round(values_ / scale) + zero, options_.quant_min, options_.quant_max);
    const at::Tensor error = ((level - zero) * scale - values_).square();
    return weights_.defined() ? at::mv(error, weights_) : error.sum(1);
  }

  at::Tensor values_, weights_;
  const FakeQuantizeOptions& options_;
};

}  // namespace

at::Tensor subsample(const at::Tensor& x, int64_t count) {
  const at::Tensor flat =
      x.is_non_overlapping_and_dense() ? x.detach().as_strided({x.numel()}, {1}) : x.detach().reshape({-1});
  // Odd, so that all channels have their turn where their number is a power of two.
  const int64_t step = ((flat.numel() + count - 1) / std::max<int64_t>(count, 1)) | 1;
  return flat.slice(0, 0, flat.numel(), step).to(at::kFloat);
}

std::pair<at::Tensor, at::Tensor> percentile_of(const at::Tensor& values, double percentile,
                                                const FakeQuantizeOptions& options) {
  const double part = percentile / 100;
  const at::Tensor low = values.amin(), high = values.amax();
  if (options.symmetric) {
    const at::Tensor limit = at::quantile(values.abs(), part);
    return {at::maximum(low, limit.neg()), at::minimum(high, limit)};
  }
  // The end at 0 of values on one side of it stays.
  const at::Tensor from = at::quantile(values, 1 - part), to = at::quantile(values, part);
  return {at::where(low < 0, from, low), at::where(high > 0, to, high)};
}

std::pair<at::Tensor, at::Tensor> least_error_range(const at::Tensor& values,
                                                    const FakeQuantizeOptions& options,
                                                    const at::Tensor& weights) {
  const ErrorSearch search(values, weights, options);
  at::Tensor seen = values;
  if (weights.defined()) seen = at::where(weights > 0, values, 0);
  const at::Tensor low = seen.amin(), high = seen.amax();
  const at::Tensor farthest = at::maximum(low.neg(), high);
  // Both ends at the same distance from 0, then each alone, then around what is best so far.
  const at::Tensor parts = at::arange(1, kParts + 1, values.options()) / static_cast<double>(kParts);
  const at::Tensor near = at::linspace(0.75, 1.25, kParts, values.options());
  const at::Tensor reach = parts * farthest;
  Ends best = search.best({at::maximum(low, reach.neg()), at::minimum(high, reach)});
  if (options.symmetric) {
    const at::Tensor limit = near * at::maximum(best.low.neg(), best.high);
    best = search.best({at::maximum(low, limit.neg()), at::minimum(high, limit)});
    return {best.low, best.high};
  }
  best = search.best({parts * low, best.high.expand_as(parts)});
  best = search.best({best.low.expand_as(parts), parts * high});
  best = search.best({at::maximum(low, near * best.low), best.high.expand_as(parts)});
  best = search.best({best.low.expand_as(parts), at::minimum(high, near * best.high)});
  return {best.low, best.high};
}

std::pair<at::Tensor, at::Tensor> histogram_range(const at::Tensor& values, const at::Tensor& histogram,
                                                  const FakeQuantizeOptions& options) {
  MC_CHECK(histogram.defined() && histogram.scalar_type() == at::kDouble && histogram.dim() == 1 &&
               histogram.numel() == kHistogramState && histogram.device() == values.device(),
           "the observer histogram needs its state, double [{}] on the device of the input", kHistogramState);
  const at::Tensor x = values.to(at::kDouble), finite = at::isfinite(x).all();
  const at::Tensor counts = histogram.slice(0, 0, kHistogramBins);
  const at::Tensor held = histogram[kHistogramBins] - kExponentBias;
  // The least k with |x| < 2^k, 0 counting as small.
  const at::Tensor farthest = at::where(finite, x.abs().amax(), 0);
  at::Tensor k = at::clamp_min(at::floor(at::log2(farthest)) + 1, kLeastExponent);
  k = at::where(counts.sum() > 0, at::maximum(k, held), k);
  const at::Tensor bins = at::arange(kHistogramBins, counts.options());
  const at::Tensor merged =
      at::floor((bins - kMiddleBin) * at::exp2(at::clamp_min(held - k, -64))) + kMiddleBin;
  const at::Tensor width = at::exp2(k) / kMiddleBin;
  const at::Tensor places =
      at::clamp(at::floor(at::where(finite, x, 0) / width) + kMiddleBin, 0, kHistogramBins - 1);
  const auto added = finite.to(at::kDouble).expand_as(x);
  const at::Tensor next = at::zeros_like(counts)
                              .index_add(0, at::clamp(merged, 0, kHistogramBins - 1).to(at::kLong), counts)
                              .index_add(0, places.to(at::kLong), added);
  counts.copy_(next);
  histogram[kHistogramBins].copy_(k + kExponentBias);
  const at::Tensor centres = ((bins - kMiddleBin + 0.5) * width).to(at::kFloat);
  auto [low, high] = least_error_range(centres, options, next.to(at::kFloat));
  const at::Tensor nothing = at::where(finite, 0, std::numeric_limits<float>::infinity()).to(at::kFloat);
  return {low + nothing, high + nothing};
}

}  // namespace mc
