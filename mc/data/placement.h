// Where each pixel of an augmented image comes from, and the one pass that makes the pixels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "mc/data/transform.h"

namespace mc {

// Half-open: rows top to bottom, columns left to right.
struct Rect {
  int64_t top, left, bottom, right;
};

// A composition of mirrorings, shifts and cuts of an image of fixed size: pixel (y, x) of the result is
// pixel (row(y), column(x)) of the source, zero outside `valid`, the mean inside a cut.
class ImagePlacement {
 public:
  ImagePlacement(int64_t height, int64_t width)
      : height_(height), width_(width), valid_{0, 0, height, width}, step_(1) {}

  void flip();
  void shift(int64_t down, int64_t right);  // pixel (y, x) becomes what (y + down, x + right) was
  void cut(Rect rect);                      // parts outside the image are left out

  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  const Rect& valid() const { return valid_; }
  const std::vector<Rect>& cuts() const { return cuts_; }
  int64_t row(int64_t y) const { return y + row_; }
  int64_t column(int64_t x) const { return step_ * x + column_; }
  int64_t step() const { return step_; }  // 1, or -1 when mirrored

 private:
  Rect clipped(Rect rect) const;

  int64_t height_, width_;
  Rect valid_;
  int64_t row_ = 0, column_ = 0, step_;
  std::vector<Rect> cuts_;
};

// Streams of random numbers of a list of augmentations: one each, so that adding one leaves the others'
// draws as they are.
std::vector<std::string> augmentation_streams(const std::vector<Augmentation>& augment);

ImagePlacement draw_placement(const std::vector<Augmentation>& augment,
                              const std::vector<std::string>& streams, int64_t height, int64_t width,
                              uint64_t seed, uint64_t epoch, uint64_t sample);

// Renders one sample [channels, height, width]. `value(channel, pixel)` normalizes a pixel; the mean is 0
// after normalization.
template <class Pixel, class Value>
void render(const Pixel* source, float* target, int64_t channels, const ImagePlacement& placement,
            Value&& value) {
  const Rect& valid = placement.valid();
  const int64_t height = placement.height(), width = placement.width();
  for (int64_t c = 0; c < channels; ++c, source += height * width, target += height * width) {
    const float zero = value(c, Pixel{0});
    for (int64_t y = 0; y < height; ++y) {
      float* row = target + y * width;
      if (y < valid.top || y >= valid.bottom || valid.left >= valid.right) {
        std::fill(row, row + width, zero);
        continue;
      }
      std::fill(row, row + valid.left, zero);
      const Pixel* from = source + placement.row(y) * width;
      if (placement.step() == 1) {
        for (int64_t x = valid.left; x < valid.right; ++x) row[x] = value(c, from[placement.column(0) + x]);
      } else {
        for (int64_t x = valid.left; x < valid.right; ++x) row[x] = value(c, from[placement.column(0) - x]);
      }
      std::fill(row + valid.right, row + width, zero);
    }
    for (const Rect& cut : placement.cuts()) {
      for (int64_t y = cut.top; y < cut.bottom; ++y) {
        std::fill(target + y * width + cut.left, target + y * width + cut.right, 0.0f);
      }
    }
  }
}

}  // namespace mc
