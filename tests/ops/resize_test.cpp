// Against at::upsample_* where PyTorch has the mode, and closed forms elsewhere; the separable path is
// reached through 3-d and 5-d tensors, LibTorch's kernels through images.
#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::expect_close;
using testing::expect_gradient;
using testing::run_op1;

at::Tensor image() {
  return at::arange(2 * 3 * 4 * 5, at::kFloat).sin().reshape({2, 3, 4, 5});
}

at::Tensor resize(const std::string& attributes, const at::Tensor& x, std::vector<float> scales) {
  return run_op1("y = Resize <" + attributes + "> (x, \"\", s)", {x, at::tensor(scales)});
}

TEST(Resize, ImagesAgainstLibTorch) {
  const at::Tensor x = image();
  expect_close(
      resize("mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"",
             x, {1, 1, 2, 2}),
      x.repeat_interleave(2, 2).repeat_interleave(2, 3));
  expect_close(
      resize("mode = \"linear\", coordinate_transformation_mode = \"half_pixel\"", x, {1, 1, 2, 1.5}),
      at::upsample_bilinear2d(x, {8, 7}, false, 2.0, 1.5));
  expect_close(
      resize("mode = \"linear\", coordinate_transformation_mode = \"align_corners\"", x, {1, 1, 2, 2}),
      at::upsample_bilinear2d(x, {8, 10}, true));
}

TEST(Resize, SeparablePathEqualsLibTorch) {
  const at::Tensor x = image();
  const at::Tensor as3d = x.reshape({6, 4, 5});  // no channel axis: not the images' kernels
  const auto expect = [&](const std::string& attributes, const at::Tensor& expected) {
    expect_close(resize(attributes, as3d, {1, 2, 2}), expected.reshape({6, 8, 10}), 1e-4, 1e-5);
  };
  expect("mode = \"linear\"", at::upsample_bilinear2d(x, {8, 10}, false));
  expect("mode = \"linear\", coordinate_transformation_mode = \"align_corners\"",
         at::upsample_bilinear2d(x, {8, 10}, true));
  expect("mode = \"cubic\"", at::upsample_bicubic2d(x, {8, 10}, false));
  expect("mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"",
         at::upsample_nearest2d(x, {8, 10}));
}

TEST(Resize, NearestRoundsAsAsked) {
  const at::Tensor x = at::tensor({0.f, 1.f, 2.f, 3.f});
  // asymmetric, scale 0.5: positions 0 and 2; scale 2: positions 0, .5, 1, 1.5, ...
  const auto nearest = [&](const std::string& rounding) {
    return resize("coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"" + rounding + "\"", x,
                  {2});
  };
  expect_close(nearest("floor"), at::tensor({0.f, 0.f, 1.f, 1.f, 2.f, 2.f, 3.f, 3.f}));
  expect_close(nearest("ceil"), at::tensor({0.f, 1.f, 1.f, 2.f, 2.f, 3.f, 3.f, 3.f}));
  expect_close(nearest("round_prefer_floor"), nearest("floor"));
  expect_close(nearest("round_prefer_ceil"), nearest("ceil"));
  EXPECT_THROW(nearest("sideways"), Error);
}

TEST(Resize, SizesAndAspect) {
  const at::Tensor x = at::ones({1, 1, 4, 8});
  const at::Tensor sizes = at::tensor({2, 2}, at::kLong);
  EXPECT_EQ(run_op1("y = Resize <axes = [2, 3]> (x, \"\", \"\", n)", {x, sizes}).sizes(),
            (at::IntArrayRef{1, 1, 2, 2}));
  EXPECT_EQ(
      run_op1("y = Resize <axes = [2, 3], keep_aspect_ratio_policy = \"not_larger\"> (x, \"\", \"\", n)",
              {x, sizes})
          .sizes(),
      (at::IntArrayRef{1, 1, 1, 2}));
  EXPECT_EQ(
      run_op1("y = Resize <axes = [2, 3], keep_aspect_ratio_policy = \"not_smaller\"> (x, \"\", \"\", n)",
              {x, sizes})
          .sizes(),
      (at::IntArrayRef{1, 1, 2, 4}));
  EXPECT_THROW(run_op1("y = Resize (x, \"\", \"\", n)", {x, sizes}), Error);
}

TEST(Resize, ForerunnersAreAsymmetric) {
  const at::Tensor x = at::tensor({1.f, 2.f}).reshape({1, 1, 1, 2});
  const at::Tensor expected = at::tensor({1.f, 1.f, 2.f, 2.f}).reshape({1, 1, 1, 4});
  expect_close(run_op1("y = Upsample <scales = [1.0, 1.0, 1.0, 2.0]> (x)", {x}, 7), expected);
  expect_close(run_op1("y = Upsample (x, s)", {x, at::tensor({1.f, 1.f, 1.f, 2.f})}, 9), expected);
  expect_close(run_op1("y = Resize (x, s)", {x, at::tensor({1.f, 1.f, 1.f, 2.f})}, 10), expected);
}

TEST(Resize, Gradients) {
  const at::Tensor x = image().slice(0, 0, 1).slice(1, 0, 1).slice(2, 0, 3).slice(3, 0, 2);
  expect_gradient("y = Resize <mode = \"linear\", axes = [2, 3]> (x, \"\", \"\", n)",
                  {x, at::tensor({5, 4}, at::kLong)});
  expect_gradient("y = Resize <mode = \"cubic\", antialias = 1, axes = [2, 3]> (x, \"\", \"\", n)",
                  {x, at::tensor({2, 1}, at::kLong)});
}

}  // namespace
}  // namespace mc
