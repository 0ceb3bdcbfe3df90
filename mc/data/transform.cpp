#include "mc/data/transform.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/data/placement.h"

namespace mc {
namespace {

constexpr int64_t kByteValues = 256;
constexpr int64_t kLargestPadding = 1 << 20;

// (x - mean) / std by channel, in float.
class Normalizer {
 public:
  Normalizer(const Normalization& normalization, int64_t channels)
      : mean_(spread(normalization.mean, channels, 0, "mean")),
        scale_(spread(normalization.std, channels, 1, "std")) {
    for (float& scale : scale_) {
      MC_CHECK(scale > 0, "normalization: a std of {} is not above 0", scale);
      scale = 1 / scale;
    }
  }

  float operator()(int64_t channel, float value) const {
    return (value - mean_[static_cast<size_t>(channel)]) * scale_[static_cast<size_t>(channel)];
  }

 private:
  static std::vector<float> spread(const std::vector<double>& values, int64_t channels, float otherwise,
                                   const char* what) {
    if (values.empty()) return std::vector<float>(static_cast<size_t>(channels), otherwise);
    if (values.size() == 1)
      return std::vector<float>(static_cast<size_t>(channels), static_cast<float>(values[0]));
    MC_CHECK(values.size() == static_cast<size_t>(channels),
             "normalization: {} has {} numbers, the images have {} channels", what, values.size(), channels);
    return std::vector<float>(values.begin(), values.end());
  }

  std::vector<float> mean_, scale_;
};

// What each of the 256 values of a byte becomes, by channel.
std::vector<float> byte_table(const Normalizer& normalize, int64_t channels) {
  std::vector<float> table;
  table.reserve(static_cast<size_t>(channels * kByteValues));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t v = 0; v < kByteValues; ++v) table.push_back(normalize(c, static_cast<float>(v) / 255));
  }
  return table;
}

// How a tensor reads as images: what is not [N, C, H, W] is one row of pixels a channel.
struct Layout {
  int64_t channels, height, width;

  explicit Layout(const at::Tensor& images, bool augmented) {
    MC_CHECK(images.dim() >= 2, "images need at least two axes, these have {}", images.dim());
    MC_CHECK(images.dim() == 4 || !augmented, "augmentation needs images [N, C, H, W], these are [{}]",
             fmt::join(images.sizes(), ", "));
    channels = images.size(1);
    height = images.dim() == 4 ? images.size(2) : 1;
    width = 1;
    for (int64_t axis = images.dim() == 4 ? 3 : 2; axis < images.dim(); ++axis) width *= images.size(axis);
  }
  int64_t elements() const { return channels * height * width; }
};

// A batch of float images from the rows `source_rows` of `source`; `samples` key the random numbers.
at::Tensor render_all(const at::Tensor& source, std::span<const int64_t> source_rows,
                      std::span<const int64_t> samples, const std::vector<Augmentation>& augment,
                      const Normalization& normalization, uint64_t seed, uint64_t epoch) {
  for (const Augmentation& each : augment) {
    const auto* crop = std::get_if<CropOptions>(&each);
    MC_CHECK(!crop || (crop->padding >= 0 && crop->padding <= kLargestPadding),
             "crop: a padding of {} pixels", crop->padding);
  }
  const Layout layout(source, !augment.empty());
  const Normalizer normalize(normalization, layout.channels);
  const auto streams = augmentation_streams(augment);
  std::vector<int64_t> shape = source.sizes().vec();
  shape[0] = static_cast<int64_t>(source_rows.size());
  at::Tensor images = at::empty(shape, at::kFloat);
  float* target = images.data_ptr<float>();
  auto run = [&]<class Pixel>(const Pixel* pixels, auto&& value) {
    for (size_t i = 0; i < source_rows.size(); ++i, target += layout.elements()) {
      render(pixels + source_rows[i] * layout.elements(), target, layout.channels,
             draw_placement(augment, streams, layout.height, layout.width, seed, epoch,
                            static_cast<uint64_t>(samples[i])),
             value);
    }
  };
  if (source.scalar_type() == at::kByte) {
    const std::vector<float> table = byte_table(normalize, layout.channels);
    run(source.const_data_ptr<uint8_t>(),
        [&](int64_t c, uint8_t pixel) { return table[static_cast<size_t>(c * kByteValues + pixel)]; });
  } else {
    MC_CHECK(source.scalar_type() == at::kFloat,
             "only images of float or uint8 can be transformed, these are {}",
             c10::toString(source.scalar_type()));
    run(source.const_data_ptr<float>(), [&](int64_t c, float pixel) { return normalize(c, pixel); });
  }
  return images;
}

}  // namespace

void transform(Batch& batch, const std::vector<Augmentation>& augment, const Normalization& normalization,
               uint64_t seed, uint64_t epoch) {
  if (augment.empty() && normalization.mean.empty() && normalization.std.empty()) return;
  MC_CHECK(!batch.inputs.empty(), "a batch without inputs cannot be transformed");
  const at::Tensor source = batch.inputs[0].contiguous();
  MC_CHECK(source.dim() >= 1 && source.size(0) == batch.size(),
           "a batch of {} indices has inputs of shape [{}]", batch.size(), fmt::join(source.sizes(), ", "));
  std::vector<int64_t> rows(batch.indices.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  batch.inputs[0] = render_all(source, rows, batch.indices, augment, normalization, seed, epoch);
}

Batch read_batch(const Dataset& dataset, std::span<const int64_t> indices,
                 const std::vector<Augmentation>& augment, const Normalization& normalization, uint64_t seed,
                 uint64_t epoch) {
  const RawImages* raw = dataset.raw_images();
  if (!raw) {
    Batch batch = dataset.get(indices);
    transform(batch, augment, normalization, seed, epoch);
    return batch;
  }
  for (int64_t index : indices) {
    MC_CHECK(index >= 0 && index < dataset.size(), "sample {} does not exist, there are {}", index,
             dataset.size());
  }
  Batch batch;
  batch.indices.assign(indices.begin(), indices.end());
  batch.inputs = {render_all(raw->images, indices, indices, augment, normalization, seed, epoch)};
  if (raw->labels.defined()) {
    batch.labels = at::empty({batch.size()}, at::kLong);
    const auto* from = raw->labels.const_data_ptr<int64_t>();
    auto* to = batch.labels.data_ptr<int64_t>();
    for (int64_t index : indices) *to++ = from[index];
  }
  return batch;
}

}  // namespace mc
