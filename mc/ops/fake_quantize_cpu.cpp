#include "mc/ops/fake_quantize_cpu.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/ops/fake_quantize_loops.h"

namespace mc {
namespace {

using loops::kBlock;
using loops::kLanes;

constexpr int64_t kGrain = 32;  // blocks that are worth a thread

// How channels lie in memory: the channel of element i is (i / inner) % count. This holds for every dense
// order of axes, with `inner` the stride of the channels' axis.
struct Channels {
  int64_t count = 1;
  int64_t inner = 1;
};

Channels channels_of(const at::Tensor& x, int64_t axis) {
  if (axis < 0 || x.size(axis) == 1) return {1, std::max<int64_t>(x.numel(), 1)};
  return {x.size(axis), x.stride(axis)};
}

// Scales of all channels, and of the block at hand.
class BlockScales {
 public:
  BlockScales(const FakeQuantizeState& state, const Channels& channels) : channels_(channels) {
    const float* scale = state.scale.const_data_ptr<float>();
    const int32_t* zero = state.zero_point.const_data_ptr<int32_t>();
    for (int64_t c = 0; c < channels.count; ++c) {
      scale_.push_back(scale[c]);
      inverse_.push_back(1.0f / scale[c]);
      zero_.push_back(static_cast<float>(zero[c]));
    }
  }

  // Sets `block` for the elements from `first` on. `uniform` remembers the channel that fills all of it.
  void fill(int64_t first, int64_t count, loops::Scales& block, int64_t& uniform) const {
    const int64_t channel = (first / channels_.inner) % channels_.count;
    const bool one = first / channels_.inner == (first + count - 1) / channels_.inner;
    if (one && uniform == channel) return;
    uniform = one ? channel : -1;
    if (one) return set(block, 0, kBlock, channel);
    int64_t c = channel, left = channels_.inner - first % channels_.inner;  // of its run
    for (int64_t i = 0, n = 0; i < count; i += n) {
      if (channels_.inner == 1) {  // neighbours in memory are neighbouring channels
        n = std::min(channels_.count - c, count - i);
        std::copy_n(&inverse_[c], n, block.inverse + i);
        std::copy_n(&zero_[c], n, block.zero + i);
        std::copy_n(&scale_[c], n, block.scale + i);
        c = 0;
      } else {
        n = std::min(left, count - i);
        set(block, i, n, c);
        c = c + 1 < channels_.count ? c + 1 : 0;
        left = channels_.inner;
      }
    }
  }

 private:
  void set(loops::Scales& block, int64_t at, int64_t n, int64_t channel) const {
    std::fill_n(block.inverse + at, n, inverse_[channel]);
    std::fill_n(block.zero + at, n, zero_[channel]);
    std::fill_n(block.scale + at, n, scale_[channel]);
  }

  Channels channels_;
  std::vector<float> inverse_, zero_, scale_;
};

loops::Range range_of(const FakeQuantizeOptions& options) {
  const float infinity = std::numeric_limits<float>::infinity();
  loops::Range range{static_cast<float>(options.quant_min),
                     static_cast<float>(options.quant_max),
                     -infinity,
                     infinity,
                     -infinity,
                     infinity};
  if (options.activation == FakeQuantizeOptions::Activation::kRelu) {
    range.low = range.pass_above = 0;
  } else if (options.activation == FakeQuantizeOptions::Activation::kClip) {
    range.low = options.clip_min;
    range.high = range.pass_up_to = options.clip_max;
    range.pass_above = std::nextafter(options.clip_min, -infinity);  // the bound itself passes
  }
  return range;
}

int64_t block_count(int64_t elements) {
  return (elements + kBlock - 1) / kBlock;
}

template <class T>
void quantize_elements(const at::Tensor& x, at::Tensor& y, uint32_t* bits, const BlockScales& scales,
                       const loops::Range& range) {
  const T* from = static_cast<const T*>(x.const_data_ptr());
  T* to = static_cast<T*>(y.mutable_data_ptr());
  const int64_t elements = x.numel();
  at::parallel_for(0, block_count(elements), kGrain, [&](int64_t begin, int64_t end) {
    loops::Scales block = {};
    int64_t uniform = -1;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock, count = std::min(kBlock, elements - first);
      scales.fill(first, count, block, uniform);
      loops::fake_quantize(from + first, to + first, bits ? bits + b * kLanes : nullptr, count, block, range);
    }
  });
}

template <class T>
void apply_elements(const at::Tensor& grad, at::Tensor& result, const uint32_t* bits) {
  const T* from = static_cast<const T*>(grad.const_data_ptr());
  T* to = static_cast<T*>(result.mutable_data_ptr());
  const int64_t elements = grad.numel();
  at::parallel_for(0, block_count(elements), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock;
      loops::apply_bits(from + first, to + first, bits + b * kLanes, std::min(kBlock, elements - first));
    }
  });
}

template <class T>
void range_of_all(const T* x, int64_t elements, float& low, float& high) {
  std::mutex mutex;
  at::parallel_for(0, elements, kGrain * kBlock, [&](int64_t begin, int64_t end) {
    float own_low = std::numeric_limits<float>::infinity(), own_high = -own_low;
    loops::min_max(x + begin, end - begin, own_low, own_high);
    const std::lock_guard lock(mutex);
    low = std::min(low, own_low);
    high = std::max(high, own_high);
  });
}

// Each thread takes some channels and walks the whole tensor for them.
template <class T>
void range_of_channels(const T* x, int64_t elements, const Channels& channels, float* low, float* high) {
  const int64_t repeats = elements / (channels.count * channels.inner);
  const int64_t grain =
      std::max<int64_t>(1, kGrain * kBlock / std::max<int64_t>(1, repeats * channels.inner));
  at::parallel_for(0, channels.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t repeat = 0; repeat < repeats; ++repeat) {
      const T* row = x + repeat * channels.count * channels.inner;
      if (channels.inner == 1) {
        loops::min_max_each(row + begin, end - begin, low + begin, high + begin);
        continue;
      }
      for (int64_t c = begin; c < end; ++c) {
        loops::min_max(row + c * channels.inner, channels.inner, low[c], high[c]);
      }
    }
  });
}

template <class T>
void range_elements(const at::Tensor& x, const Channels& channels, float* low, float* high) {
  const T* data = static_cast<const T*>(x.const_data_ptr());
  if (channels.count == 1) return range_of_all(data, x.numel(), *low, *high);
  range_of_channels(data, x.numel(), channels, low, high);
}

// The sums of one channel over runs of its elements, each run cut into chunks: chunk i holds at most kChunk
// elements of run i / chunks. All sums are kept and added in order at the end.
template <class T>
void learned_elements(const at::Tensor& x, const at::Tensor& grad, LearnedGradients& result,
                      const FakeQuantizeState& state, const Channels& channels, const loops::Range& range) {
  constexpr int64_t kChunk = 8 * kBlock;
  const T* from = static_cast<const T*>(x.const_data_ptr());
  const T* grad_y = static_cast<const T*>(grad.const_data_ptr());
  T* grad_x = static_cast<T*>(result.x.mutable_data_ptr());
  const float* scale = state.scale.const_data_ptr<float>();
  const int32_t* zero = state.zero_point.const_data_ptr<int32_t>();
  const int64_t chunks = (channels.inner + kChunk - 1) / kChunk;
  const int64_t total = x.numel() / channels.inner * chunks;
  std::vector<loops::LearnedSums> sums(total);
  at::parallel_for(0, total, kGrain / 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t run = i / chunks, within = i % chunks * kChunk, channel = run % channels.count;
      const int64_t first = run * channels.inner + within;
      const loops::OneScale one{1.0f / scale[channel], static_cast<float>(zero[channel])};
      sums[i] = loops::learned_gradient(from + first, grad_y + first, grad_x + first,
                                        std::min(kChunk, channels.inner - within), one, range);
    }
  });
  std::vector<double> by_scale(channels.count), clamped(channels.count);
  for (int64_t i = 0; i < total; ++i) {
    by_scale[i / chunks % channels.count] += sums[i].scale;
    clamped[i / chunks % channels.count] += sums[i].clamped;
  }
  std::copy(by_scale.begin(), by_scale.end(), result.scale.mutable_data_ptr<float>());
  std::copy(clamped.begin(), clamped.end(), result.clamped.mutable_data_ptr<float>());
}

bool same_layout(const at::Tensor& tensor, at::IntArrayRef strides) {
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    if (tensor.size(axis) > 1 && tensor.stride(axis) != strides[axis]) return false;
  }
  return true;
}

at::Tensor laid_out(const at::Tensor& tensor, at::IntArrayRef strides) {
  if (same_layout(tensor, strides)) return tensor;
  return at::empty_strided(tensor.sizes(), strides, tensor.options()).copy_(tensor);
}

}  // namespace

bool takes_own_loops(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         x.is_non_overlapping_and_dense();
}

std::pair<at::Tensor, at::Tensor> fake_quantize_cpu(const at::Tensor& x, const FakeQuantizeState& state,
                                                    const FakeQuantizeOptions& options, bool with_bits) {
  at::Tensor y = at::empty_strided(x.sizes(), x.strides(), x.options().requires_grad(false));
  at::Tensor bits;
  if (with_bits) bits = at::empty({block_count(x.numel()) * kLanes}, at::kInt);
  uint32_t* words = with_bits ? static_cast<uint32_t*>(bits.mutable_data_ptr()) : nullptr;
  const BlockScales scales(state, channels_of(x, options.axis));
  const loops::Range range = range_of(options);
  if (x.scalar_type() == at::kFloat) {
    quantize_elements<float>(x, y, words, scales, range);
  } else {
    quantize_elements<uint16_t>(x, y, words, scales, range);
  }
  return {y, bits};
}

at::Tensor apply_bits_cpu(const at::Tensor& grad, const at::Tensor& bits,
                          const std::vector<int64_t>& strides) {
  const at::Tensor from = laid_out(grad, strides);
  at::Tensor result = at::empty_strided(grad.sizes(), strides, grad.options());
  const auto* words = static_cast<const uint32_t*>(bits.const_data_ptr());
  if (grad.scalar_type() == at::kFloat) {
    apply_elements<float>(from, result, words);
  } else {
    apply_elements<uint16_t>(from, result, words);
  }
  return result;
}

bool takes_learned_loops(const at::Tensor& x, int64_t axis) {
  return x.numel() > 0 && channels_of(x, axis).inner >= 4 * kLanes;
}

LearnedGradients learned_gradients_cpu(const at::Tensor& x, const at::Tensor& grad,
                                       const FakeQuantizeState& state, const FakeQuantizeOptions& options) {
  const Channels channels = channels_of(x, options.axis);
  const at::Tensor from = laid_out(grad.to(x.scalar_type()), x.strides());
  LearnedGradients result{at::empty_strided(x.sizes(), x.strides(), from.options()),
                          at::empty({channels.count}, at::kFloat), at::empty({channels.count}, at::kFloat)};
  if (x.scalar_type() == at::kFloat) {
    learned_elements<float>(x, from, result, state, channels, range_of(options));
  } else {
    learned_elements<uint16_t>(x, from, result, state, channels, range_of(options));
  }
  return result;
}

std::pair<at::Tensor, at::Tensor> range_cpu(const at::Tensor& x, int64_t axis) {
  const Channels channels = channels_of(x, axis);
  const float infinity = std::numeric_limits<float>::infinity();
  at::Tensor low = at::full({channels.count}, infinity, at::kFloat);
  at::Tensor high = at::full({channels.count}, -infinity, at::kFloat);
  float* lows = low.mutable_data_ptr<float>();
  float* highs = high.mutable_data_ptr<float>();
  if (x.scalar_type() == at::kFloat) {
    range_elements<float>(x, channels, lows, highs);
  } else {
    range_elements<uint16_t>(x, channels, lows, highs);
  }
  return {low, high};
}

}  // namespace mc
