#include <algorithm>
#include <cmath>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

struct RoiCase {
  int64_t height = 2, width = 3, ratio = 0;
  double scale = 1;
  bool half_pixel = true, maximum = false;

  std::string node() const {
    return fmt::format(
        "y = RoiAlign <output_height = {}, output_width = {}, sampling_ratio = {}, spatial_scale = {:.6f}, "
        "mode = \"{}\", coordinate_transformation_mode = \"{}\"> (x, r, b)",
        height, width, ratio, scale, maximum ? "max" : "avg",
        half_pixel ? "half_pixel" : "output_half_pixel");
  }
};

// One channel's image [height, width] at a place, as its four weighted pixels.
std::array<double, 4> weighted_pixels(const at::Tensor& image, double y, double x) {
  const int64_t height = image.size(0), width = image.size(1);
  if (y < -1 || y > static_cast<double>(height) || x < -1 || x > static_cast<double>(width))
    return {0, 0, 0, 0};
  y = std::clamp(y, 0.0, static_cast<double>(height - 1));
  x = std::clamp(x, 0.0, static_cast<double>(width - 1));
  const auto top = static_cast<int64_t>(y), left = static_cast<int64_t>(x);
  const double v = y - static_cast<double>(top), h = x - static_cast<double>(left);
  const auto pixel = [&](int64_t i, int64_t j) {
    return image[std::min(i, height - 1)][std::min(j, width - 1)].item<double>();
  };
  return {(1 - v) * (1 - h) * pixel(top, left), (1 - v) * h * pixel(top, left + 1),
          v * (1 - h) * pixel(top + 1, left), v * h * pixel(top + 1, left + 1)};
}

// The paper's loops, one bin at a time.
double roi_bin(const RoiCase& roi, const at::Tensor& image, const at::Tensor& corners, int64_t row,
               int64_t column) {
  const double offset = roi.half_pixel ? 0.5 : 0;
  std::array<double, 4> c{};
  for (int i = 0; i < 4; ++i) c[i] = corners[i].item<double>() * roi.scale - offset;
  double width = c[2] - c[0], height = c[3] - c[1];
  if (!roi.half_pixel) width = std::max(width, 1.0), height = std::max(height, 1.0);
  const double bin_height = height / static_cast<double>(roi.height),
               bin_width = width / static_cast<double>(roi.width);
  const auto lines = roi.ratio ? roi.ratio : static_cast<int64_t>(std::ceil(bin_height));
  const auto samples = roi.ratio ? roi.ratio : static_cast<int64_t>(std::ceil(bin_width));
  double sum = 0, largest = -INFINITY;
  for (int64_t i = 0; i < lines; ++i) {
    for (int64_t j = 0; j < samples; ++j) {
      const double y = c[1] + bin_height * (static_cast<double>(row) +
                                            (static_cast<double>(i) + 0.5) / static_cast<double>(lines));
      const double x = c[0] + bin_width * (static_cast<double>(column) +
                                           (static_cast<double>(j) + 0.5) / static_cast<double>(samples));
      for (double value : weighted_pixels(image, y, x)) sum += value, largest = std::max(largest, value);
    }
  }
  if (lines * samples <= 0) return 0;
  return roi.maximum ? largest : sum / static_cast<double>(lines * samples);
}

TEST(RoiAlign, FollowsThePapersLoops) {
  const at::Tensor x = random({2, 2, 6, 7}, at::kDouble), image = ints({1, 0, 1, 0});
  const at::Tensor rois =
      at::tensor({0., 0., 5., 4., 1.5, 2.25, 3., 7., -3.1, -2.2, 9.5, 8., 4., 4., 3., 3.}).reshape({4, 4});
  for (const RoiCase& roi : std::vector<RoiCase>{{},
                                                 {2, 3, 2, 1, true, false},
                                                 {3, 2, 0, 0.5, false, false},
                                                 {1, 2, 3, 1, false, true},
                                                 {2, 2, 0, 0.75, true, true}}) {
    const at::Tensor y = run_op1(roi.node(), {x, rois, image});
    ASSERT_EQ(y.sizes(), (std::vector<int64_t>{4, 2, roi.height, roi.width}));
    for (int64_t n = 0; n < 4; ++n) {
      for (int64_t c = 0; c < 2; ++c) {
        for (int64_t bin = 0; bin < roi.height * roi.width; ++bin) {
          const int64_t i = bin / roi.width, j = bin % roi.width;
          EXPECT_NEAR(y[n][c][i][j].item<double>(),
                      roi_bin(roi, x[image[n].item<int64_t>()][c], rois[n], i, j), 1e-6)
              << roi.node() << " region " << n << " bin " << i << "," << j;
        }
      }
    }
  }
}

TEST(RoiAlign, Opset10HasNoHalfPixels) {
  const at::Tensor x = random({1, 1, 5, 5}), rois = at::tensor({0.5f, 0.5f, 4.f, 3.f}).reshape({1, 4});
  RoiCase roi;
  roi.half_pixel = false;
  expect_close(
      run_op1("y = RoiAlign <output_height = 2, output_width = 3> (x, r, b)", {x, rois, ints({0})}, 10),
      run_op1(roi.node(), {x, rois, ints({0})}, 16));
}

TEST(RoiAlign, TrainsTheImageAndTheRegions) {
  const at::Tensor x = random({2, 2, 5, 5}), image = ints({1, 0});
  const at::Tensor rois = at::tensor({0.3, 0.4, 3.7, 3.1, 1.2, 0.9, 4.1, 4.6}).reshape({2, 4});
  expect_gradient(RoiCase{2, 2, 2}.node(), {x, rois, image});
  expect_gradient(RoiCase{2, 2, 2, 1, false, true}.node(), {x, rois, image});
}

TEST(RoiAlign, RefusesBadInput) {
  const at::Tensor x = random({1, 2, 4, 4}), rois = at::zeros({1, 4});
  EXPECT_THROW(run_op1("y = RoiAlign (x, r, b)", {x, rois, ints({1})}), Error);
  EXPECT_THROW(run_op1("y = RoiAlign (x, r, b)", {x, rois, ints({-1})}), Error);
  EXPECT_THROW(run_op1("y = RoiAlign (x, r, b)", {x, rois, ints({0, 0})}), Error);
  EXPECT_THROW(run_op1("y = RoiAlign (x, r, b)", {x, at::zeros({1, 5}), ints({0})}), Error);
  EXPECT_THROW(run_op1("y = RoiAlign (x, r, b)", {x[0], rois, ints({0})}), Error);
  EXPECT_THROW(run_op1("y = RoiAlign <mode = \"min\"> (x, r, b)", {x, rois, ints({0})}), Error);
  EXPECT_THROW(run_op1("y = RoiAlign <output_height = 0> (x, r, b)", {x, rois, ints({0})}), Error);
  const at::Tensor huge = at::tensor({0.f, 0.f, 1e9f, 1e9f}).reshape({1, 4});
  EXPECT_THROW(run_op1("y = RoiAlign (x, r, b)", {x, huge, ints({0})}), Error);
  EXPECT_EQ(run_op1("y = RoiAlign (x, r, b)", {x, at::full({1, 4}, NAN), ints({0})}).numel(), 2);
  EXPECT_EQ(run_op1("y = RoiAlign (x, r, b)", {x, at::zeros({0, 4}), ints({})}).sizes(),
            (std::vector<int64_t>{0, 2, 1, 1}));
}

}  // namespace
}  // namespace mc::testing
