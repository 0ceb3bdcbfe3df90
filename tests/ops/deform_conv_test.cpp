#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

TEST(DeformConv, WithoutOffsetsIsAConvolution) {
  const at::Tensor x = random({2, 4, 5, 6}), w = random({6, 2, 3, 2}), b = random({6});
  const at::Tensor padded = at::constant_pad_nd(x, {0, 2, 1, 0});
  const std::vector<int64_t> strides = {2, 1}, none = {0, 0}, dilations = {1, 2};
  const at::Tensor expected = at::conv2d(padded, w, b, strides, none, dilations, 2);
  const at::Tensor offset = at::zeros({2, 12, expected.size(2), expected.size(3)});
  const std::string node =
      "y = DeformConv <group = 2, strides = [2, 1], dilations = [1, 2], pads = [1, 0, 0, 2]> (x, w, o, b)";
  expect_close(run_op1(node, {x, w, offset, b}), expected, 1e-4, 1e-5);
  const at::Tensor volume = random({1, 2, 3, 4, 4}), kernel = random({3, 2, 2, 2, 3});
  const at::Tensor still = at::zeros({1, 36, 2, 3, 2});
  expect_close(run_op1("y = DeformConv (x, w, o)", {volume, kernel, still}), at::conv3d(volume, kernel), 1e-4,
               1e-5);
}

TEST(DeformConv, MovesTapsByGroupsAndMasksThem) {
  const at::Tensor x = random({1, 4, 5, 5}), w = random({3, 4, 2, 2}), mask = random({1, 8, 4, 4}).sigmoid();
  // The second half of the channels is read one row lower and two columns further left.
  const at::Tensor move = at::tensor({1.f, -2.f}).repeat({4}).reshape({1, 8, 1, 1}).expand({1, 8, 4, 4});
  const at::Tensor offset = at::cat({at::zeros({1, 8, 4, 4}), move}, 1);
  const at::Tensor lower = at::constant_pad_nd(x, {2, -2, -1, 1});
  const at::Tensor moved = at::cat({x.narrow(1, 0, 2), lower.narrow(1, 2, 2)}, 1);
  const std::string node = "y = DeformConv <offset_group = 2> (x, w, o, , m)";
  expect_close(run_op1(node, {x, w, offset, at::ones({1, 8, 4, 4})}), at::conv2d(moved, w), 1e-4, 1e-5);
  const at::Tensor columns = at::im2col(moved, {2, 2}, {1, 1}, {0, 0}, {1, 1}).reshape({2, 2, 4, 16});
  const at::Tensor weighted = columns * mask.reshape({2, 1, 4, 16});
  expect_close(run_op1(node, {x, w, offset, mask}),
               at::matmul(w.flatten(1), weighted.reshape({16, 16})).reshape({1, 3, 4, 4}), 1e-4, 1e-5);
}

TEST(DeformConv, OfInputsOnePixelHigh) {
  const at::Tensor x = random({1, 2, 1, 5}), w = random({3, 2, 3, 2});
  const std::string node = "y = DeformConv <pads = [1, 0, 1, 0]> (x, w, o)";
  expect_close(run_op1(node, {x, w, at::zeros({1, 12, 1, 4})}), at::conv2d(x, w.narrow(2, 1, 1)), 1e-4, 1e-5);
  // Half a pixel off the only row, half of it is seen from either side.
  const at::Tensor half = at::tensor({0.5f, 0.f}).repeat({6}).reshape({1, 12, 1, 1}).expand({1, 12, 1, 4});
  expect_close(run_op1(node, {x, w, half}), at::conv2d(x, w.narrow(2, 0, 2).mean(2, true)), 1e-4, 1e-5);
}

TEST(DeformConv, TrainsEveryInput) {
  const at::Tensor offset = random({1, 16, 3, 3}) * 0.3 + 0.45;
  expect_gradient("y = DeformConv <offset_group = 2> (x, w, o, b, m)",
                  {random({1, 2, 4, 4}), random({2, 2, 2, 2}), offset, random({2}), random({1, 8, 3, 3})});
}

TEST(DeformConv, RefusesBadInput) {
  const at::Tensor x = random({1, 4, 5, 5}), w = random({3, 4, 2, 2}), offset = at::zeros({1, 8, 4, 4});
  EXPECT_THROW(run_op1("y = DeformConv (x, w, o)", {x, w, offset.narrow(1, 0, 7)}), Error);
  EXPECT_THROW(run_op1("y = DeformConv <group = 2> (x, w, o)", {x, w, offset}), Error);
  EXPECT_THROW(run_op1("y = DeformConv <offset_group = 3> (x, w, o)", {x, w, offset}), Error);
  EXPECT_THROW(run_op1("y = DeformConv (x, w, o)", {x[0], w, offset}), Error);
  EXPECT_THROW(run_op1("y = DeformConv (x, w, o, b)", {x, w, offset, random({2})}), Error);
  EXPECT_THROW(run_op1("y = DeformConv (x, w, o, , m)", {x, w, offset, random({1, 3, 4, 4})}), Error);
  const at::Tensor wild = at::full({1, 8, 4, 4}, 1e30);
  expect_close(run_op1("y = DeformConv (x, w, o)", {x, w, wild}), at::zeros({1, 3, 4, 4}));
  EXPECT_EQ(to_string(inferred("<ir_version: 10, opset_import: [\"\" : 21]> g (float[N,4,5,5] x, "
                               "float[3,4,2,2] w, float[N,8,4,4] o) => () { y = DeformConv (x, w, o) }",
                               "y")),
            "float[N,3,4,4]");
}

}  // namespace
}  // namespace mc::testing
