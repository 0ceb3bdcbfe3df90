#include <algorithm>
#include <array>
#include <cmath>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/data/transform.h"

namespace mc {
namespace {

constexpr int64_t kSamplesAtOnce = 256;  // samples read at once

// Sums of one channel's pixels.
struct Sums {
  double count = 0, values = 0, squares = 0;

  void add(double value, double times = 1) {
    count += times;
    values += value * times;
    squares += value * value * times;
  }
};

// A histogram of the bytes gives exact sums from 256 numbers.
void add_bytes(const uint8_t* pixels, int64_t count, Sums& sums) {
  std::array<int64_t, 256> histogram{};
  for (int64_t i = 0; i < count; ++i) ++histogram[pixels[i]];
  for (size_t v = 0; v < histogram.size(); ++v) {
    sums.add(static_cast<double>(v) / 255, static_cast<double>(histogram[v]));
  }
}

// Adds the sample at `row` of images [N, C, ...].
void add_sample(const at::Tensor& images, int64_t row, std::vector<Sums>& sums) {
  const auto channels = static_cast<int64_t>(sums.size());
  const int64_t pixels = images.numel() / (images.size(0) * channels);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t offset = (row * channels + c) * pixels;
    Sums& sum = sums[static_cast<size_t>(c)];
    if (images.scalar_type() == at::kByte) {
      add_bytes(images.const_data_ptr<uint8_t>() + offset, pixels, sum);
    } else {
      const float* values = images.const_data_ptr<float>() + offset;
      for (int64_t i = 0; i < pixels; ++i) sum.add(values[i]);
    }
  }
}

}  // namespace

Normalization measure_normalization(const Dataset& dataset, int64_t samples) {
  const int64_t size = dataset.size();
  MC_CHECK(size > 0, "{}: there are no samples to measure", dataset.description());
  const int64_t count = samples < 0 || samples > size ? size : std::max<int64_t>(samples, 1);
  std::vector<Sums> sums;
  auto begin = [&](const at::Tensor& images) {
    MC_CHECK(images.dim() >= 2 && images.numel() > 0, "{}: normalization needs images [N, C, ...]",
             dataset.description());
    MC_CHECK(sums.empty() || static_cast<int64_t>(sums.size()) == images.size(1),
             "{}: the number of channels varies", dataset.description());
    sums.resize(static_cast<size_t>(images.size(1)));
  };
  // Evenly spread, because sets are often sorted by class.
  auto index = [&](int64_t i) { return i * size / count; };
  if (const RawImages* raw = dataset.raw_images()) {
    begin(raw->images);
    for (int64_t i = 0; i < count; ++i) add_sample(raw->images, index(i), sums);
  } else {
    for (int64_t first = 0; first < count; first += kSamplesAtOnce) {
      std::vector<int64_t> indices;
      for (int64_t i = first; i < std::min(count, first + kSamplesAtOnce); ++i) indices.push_back(index(i));
      at::Tensor images = dataset.get(indices).inputs.at(0).contiguous();
      if (images.scalar_type() != at::kByte) images = images.to(at::kFloat);
      begin(images);
      for (int64_t row = 0; row < images.size(0); ++row) add_sample(images, row, sums);
    }
  }
  Normalization normalization;
  for (const Sums& sum : sums) {
    const double mean = sum.values / sum.count;
    const double variance = std::max(0.0, sum.squares / sum.count - mean * mean);
    normalization.mean.push_back(mean);
    normalization.std.push_back(variance > 1e-12 ? std::sqrt(variance) : 1);
  }
  return normalization;
}

}  // namespace mc
