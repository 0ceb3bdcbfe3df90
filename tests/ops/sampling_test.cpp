#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

const std::vector<std::string> kPaddings = {"zeros", "border", "reflection"};

std::string grid_sample(const std::string& mode, const std::string& padding, bool align) {
  return fmt::format("y = GridSample <mode = \"{}\", padding_mode = \"{}\", align_corners = {}> (x, g)", mode,
                     padding, align ? 1 : 0);
}

// Places up to 1.5 times as far out as the image reaches.
at::Tensor places(at::IntArrayRef sizes) {
  return random(sizes).clamp(-1.5, 1.5);
}

TEST(GridSample, ImagesAsInPyTorch) {
  const at::Tensor x = random({2, 3, 4, 5}), grid = places({2, 3, 2, 2});
  for (bool align : {false, true}) {
    for (int64_t padding = 0; padding < 3; ++padding) {
      expect_close(run_op1(grid_sample("linear", kPaddings[padding], align), {x, grid}),
                   at::grid_sampler(x, grid, 0, padding, align));
      expect_close(run_op1(grid_sample("bilinear", kPaddings[padding], align), {x, grid}, 16),
                   at::grid_sampler(x, grid, 0, padding, align));
      expect_close(run_op1(grid_sample("nearest", kPaddings[padding], align), {x, grid}),
                   at::grid_sampler(x, grid, 1, padding, align));
      expect_close(run_op1(grid_sample("bicubic", kPaddings[padding], align), {x, grid}, 16),
                   at::grid_sampler(x, grid, 2, padding, align));
    }
  }
}

TEST(GridSample, CubicVolumesThatVaryAlongTwoAxesAreCubicImages) {
  const at::Tensor image = random({2, 3, 4, 5}), grid = places({2, 7, 1, 2});
  const at::Tensor middle = at::zeros({2, 7, 1, 1});
  for (bool align : {false, true}) {
    for (int64_t padding = 0; padding < 3; ++padding) {
      const at::Tensor expected = at::grid_sampler(image, grid, 2, padding, align).unsqueeze(-1);
      for (int64_t axis = 2; axis < 5; ++axis) {  // the axis along which nothing varies
        const at::Tensor volume = image.unsqueeze(axis).repeat_interleave(6, axis);
        const at::Tensor x = grid.narrow(3, 0, 1), y = grid.narrow(3, 1, 1);
        const std::vector<at::Tensor> order = axis == 2   ? std::vector{x, y, middle}
                                              : axis == 3 ? std::vector{x, middle, y}
                                                          : std::vector{middle, x, y};
        const at::Tensor place = at::cat(order, 3).unsqueeze(3);
        expect_close(run_op1(grid_sample("cubic", kPaddings[padding], align), {volume, place}), expected,
                     1e-4, 1e-5);
      }
    }
  }
}

TEST(GridSample, LinesAndVolumes) {
  const at::Tensor line = at::tensor({1.f, 3.f, 7.f}).reshape({1, 1, 3});
  const at::Tensor grid = at::tensor({-1.f, -0.5f, 0.25f, 1.f}).reshape({1, 4, 1});
  expect_close(run_op1(grid_sample("linear", "zeros", true), {line, grid}),
               at::tensor({1.f, 2.f, 4.f, 7.f}).reshape({1, 1, 4}));
  expect_close(run_op1(grid_sample("linear", "zeros", false), {line, grid}),
               at::tensor({0.5f, 1.5f, 4.5f, 3.5f}).reshape({1, 1, 4}));
  expect_close(run_op1(grid_sample("nearest", "border", true), {line, grid}),
               at::tensor({1.f, 1.f, 3.f, 7.f}).reshape({1, 1, 4}));
  const at::Tensor volume = random({1, 2, 3, 4, 5}), corner = at::ones({1, 1, 1, 1, 3});
  expect_close(run_op1(grid_sample("linear", "zeros", true), {volume, corner}).flatten(),
               volume.select(2, 2).select(2, 3).select(2, 4).flatten());
}

TEST(GridSample, TakesOtherTypes) {
  const at::Tensor x = counting({1, 1, 3, 3}), grid = places({1, 2, 2, 2});
  const at::Tensor y = run_op1(grid_sample("linear", "border", false), {x, grid});
  expect_close(run_op1(grid_sample("linear", "border", false), {x.to(at::kInt), grid}), y.to(at::kInt));
  expect_close(run_op1(grid_sample("linear", "border", false), {x.to(at::kHalf), grid}), y.to(at::kHalf),
               1e-2, 1e-2);
}

TEST(GridSample, TrainsInputAndGrid) {
  for (const std::string padding : {"zeros", "border"}) {
    expect_gradient(grid_sample("linear", padding, false),
                    {random({1, 2, 3, 4}), random({1, 2, 3, 2}) * 0.4});
    expect_gradient(grid_sample("cubic", padding, true), {random({1, 1, 3, 4}), random({1, 2, 3, 2}) * 0.4});
    expect_gradient(grid_sample("cubic", padding, false),
                    {random({1, 2, 3, 4, 2}), random({1, 1, 2, 2, 3}) * 0.4});
  }
}

TEST(GridSample, RefusesBadInput) {
  const at::Tensor x = random({2, 3, 4, 5});
  EXPECT_THROW(run_op1("y = GridSample (x, g)", {x, places({2, 3, 2, 3})}), Error);
  EXPECT_THROW(run_op1("y = GridSample (x, g)", {x, places({1, 3, 2, 2})}), Error);
  EXPECT_THROW(run_op1("y = GridSample (x, g)", {random({2, 3}), places({2, 2})}), Error);
  EXPECT_THROW(run_op1("y = GridSample <mode = \"sinc\"> (x, g)", {x, places({2, 3, 2, 2})}), Error);
  EXPECT_THROW(run_op1("y = GridSample <padding_mode = \"wrap\"> (x, g)", {x, places({2, 3, 2, 2})}), Error);
  const at::Tensor wild = at::full({1, 1, 1, 1, 3}, NAN).index_fill(4, ints({1}), 1e30);
  const at::Tensor y = run_op1(grid_sample("cubic", "reflection", false), {random({1, 1, 2, 2, 2}), wild});
  EXPECT_EQ(y.numel(), 1);
}

TEST(AffineGrid, MovesAnEvenGrid) {
  const at::Tensor theta = random({2, 2, 3});
  const at::Tensor grid = run_op1("y = AffineGrid (t, s)", {theta, ints({2, 1, 3, 4})});
  const at::Tensor row = (at::arange(4, at::kFloat) * 2 + 1) / 4 - 1,
                   column = (at::arange(3, at::kFloat) * 2 + 1) / 3 - 1;
  const at::Tensor x = row.expand({3, 4}), y = column.unsqueeze(1).expand({3, 4});
  const at::Tensor homogeneous = at::stack({x, y, at::ones_like(x)}, -1);
  expect_close(grid, at::matmul(homogeneous, theta.transpose(1, 2).unsqueeze(1)));
  const at::Tensor identity = at::eye(3, 4).unsqueeze(0);
  const at::Tensor volume =
      run_op1("y = AffineGrid <align_corners = 1> (t, s)", {identity, ints({1, 1, 2, 3, 5})});
  expect_close(volume[0][1][2][3], at::tensor({0.5f, 1.f, 1.f}));
  expect_gradient("y = AffineGrid (t, s)", {theta, ints({2, 1, 2, 2})});
  EXPECT_THROW(run_op1("y = AffineGrid (t, s)", {theta, ints({1, 1, 2, 2})}), Error);
  EXPECT_THROW(run_op1("y = AffineGrid (t, s)", {theta, ints({2, 1, 2, 0})}), Error);
  EXPECT_THROW(run_op1("y = AffineGrid (t, s)", {theta, ints({2, 1, 2})}), Error);
  EXPECT_EQ(to_string(inferred("<ir_version: 10, opset_import: [\"\" : 21]> g (float[N,2,3] t) => () "
                               "<int64[4] s = {7, 1, 3, 5}> { y = AffineGrid (t, s) }",
                               "y")),
            "float[7,3,5,2]");
}

}  // namespace
}  // namespace mc::testing
