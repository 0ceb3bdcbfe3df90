#include "mc/data/placement.h"

#include "mc/base/random.h"

namespace mc {

Rect ImagePlacement::clipped(Rect rect) const {
  return {std::clamp<int64_t>(rect.top, 0, height_), std::clamp<int64_t>(rect.left, 0, width_),
          std::clamp<int64_t>(rect.bottom, 0, height_), std::clamp<int64_t>(rect.right, 0, width_)};
}

void ImagePlacement::flip() {
  auto mirror = [&](Rect& rect) { rect = {rect.top, width_ - rect.right, rect.bottom, width_ - rect.left}; };
  mirror(valid_);
  for (Rect& rect : cuts_) mirror(rect);
  column_ += step_ * (width_ - 1);
  step_ = -step_;
}

void ImagePlacement::shift(int64_t down, int64_t right) {
  auto move = [&](Rect& rect) {
    rect = clipped({rect.top - down, rect.left - right, rect.bottom - down, rect.right - right});
  };
  move(valid_);
  for (Rect& rect : cuts_) move(rect);
  row_ += down;
  column_ += step_ * right;
}

void ImagePlacement::cut(Rect rect) {
  cuts_.push_back(clipped(rect));
}

std::vector<std::string> augmentation_streams(const std::vector<Augmentation>& augment) {
  std::vector<std::string> streams;
  for (const Augmentation& each : augment) {
    const std::string name = std::visit([](const auto& options) { return std::string(options.kName); }, each);
    std::string stream = name;
    // The second one of a kind draws numbers of its own.
    for (int i = 2; std::ranges::find(streams, stream) != streams.end(); ++i)
      stream = name + std::to_string(i);
    streams.push_back(std::move(stream));
  }
  return streams;
}

ImagePlacement draw_placement(const std::vector<Augmentation>& augment,
                              const std::vector<std::string>& streams, int64_t height, int64_t width,
                              uint64_t seed, uint64_t epoch, uint64_t sample) {
  ImagePlacement placement(height, width);
  for (size_t i = 0; i < augment.size(); ++i) {
    Random random(seed, epoch, sample, streams[i]);
    if (const auto* flip = std::get_if<FlipOptions>(&augment[i])) {
      if (random.chance(flip->probability)) placement.flip();
    } else if (const auto* crop = std::get_if<CropOptions>(&augment[i])) {
      const int64_t down = random.below(2 * crop->padding + 1) - crop->padding;
      placement.shift(down, random.below(2 * crop->padding + 1) - crop->padding);
    } else if (const auto* cutout = std::get_if<CutoutOptions>(&augment[i])) {
      // The centre may lie anywhere, so that a square at the border is cut off (their section 3.2).
      const int64_t top = random.below(height) - cutout->size / 2;
      const int64_t left = random.below(width) - cutout->size / 2;
      placement.cut({top, left, top + cutout->size, left + cutout->size});
    }
  }
  return placement;
}

}  // namespace mc
