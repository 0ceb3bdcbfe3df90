#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

TEST(MaxUnpool, UndoesMaxPool) {
  const at::Tensor x = random({2, 3, 6, 4});
  const std::vector<Slot> pooled =
      run_op("y, i = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)", {x});
  const at::Tensor y = run_op1("y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, i)",
                               {pooled[0].tensor, pooled[1].tensor});
  const auto [values, index] = at::max_pool2d_with_indices(x, {2, 2}, {2, 2});
  expect_close(y, at::max_unpool2d(values, index, {6, 4}));
  const at::Tensor line = at::tensor({5.f, 6.f}).reshape({1, 1, 2});
  expect_close(run_op1("y = MaxUnpool <kernel_shape = [2], strides = [2]> (x, i, s)",
                       {line, ints({1, 2}).reshape({1, 1, 2}), ints({1, 1, 5})}),
               at::tensor({0.f, 5.f, 6.f, 0.f, 0.f}).reshape({1, 1, 5}));
}

TEST(MaxUnpool, TrainsAndRefusesBadInput) {
  const at::Tensor x = random({1, 1, 2}), index = ints({3, 0}).reshape({1, 1, 2});
  const std::string node = "y = MaxUnpool <kernel_shape = [2], strides = [2]> (x, i)";
  expect_gradient(node, {x, index});
  EXPECT_THROW(run_op1(node, {x, ints({4, 0}).reshape({1, 1, 2})}), Error);
  EXPECT_THROW(run_op1(node, {x, ints({-1, 0}).reshape({1, 1, 2})}), Error);
  EXPECT_THROW(run_op1(node, {x, ints({0}).reshape({1, 1, 1})}), Error);
  EXPECT_THROW(run_op1("y = MaxUnpool (x, i)", {x, index}), Error);
  EXPECT_THROW(run_op1("y = MaxUnpool <kernel_shape = [2, 2]> (x, i)", {x, index}), Error);
  const std::string shaped = "y = MaxUnpool <kernel_shape = [2], strides = [2]> (x, i, s)";
  EXPECT_THROW(run_op1(shaped, {x, index, ints({1, 1, 3})}), Error);
  EXPECT_THROW(run_op1(shaped, {x, index, ints({1, 4})}), Error);
}

TEST(Col2Im, AddsBlocksUp) {
  // Col2Im of im2col counts how many blocks cover a pixel.
  const at::Tensor x = random({2, 3, 7, 6});
  const at::Tensor columns = at::im2col(x, {3, 2}, {1, 2}, {1, 1}, {2, 1});
  const at::Tensor cover = at::col2im(at::im2col(at::ones_like(x), {3, 2}, {1, 2}, {1, 1}, {2, 1}), {7, 6},
                                      {3, 2}, {1, 2}, {1, 1}, {2, 1});
  const std::string node = "y = Col2Im <dilations = [1, 2], pads = [1, 1, 1, 1], strides = [2, 1]> (x, i, b)";
  expect_close(run_op1(node, {columns, ints({7, 6}), ints({3, 2})}), x * cover);
  // Whole numbers take the path of blocks in any number of axes; the sums are the same.
  const at::Tensor whole = (columns * 100).round();
  expect_close(run_op1(node, {whole.to(at::kLong), ints({7, 6}), ints({3, 2})}),
               run_op1(node, {whole, ints({7, 6}), ints({3, 2})}).to(at::kLong));
}

TEST(Col2Im, PadsEachEndByItself) {
  const at::Tensor x = random({1, 2, 5, 4});
  const at::Tensor padded = at::constant_pad_nd(x, {0, 1, 2, 0});
  const at::Tensor columns = at::im2col(padded, {2, 2}, {1, 1}, {0, 0}, {1, 1});
  const at::Tensor expected =
      at::col2im(columns, {7, 5}, {2, 2}, {1, 1}, {0, 0}, {1, 1}).narrow(2, 2, 5).narrow(3, 0, 4);
  expect_close(run_op1("y = Col2Im <pads = [2, 0, 0, 1]> (x, i, b)", {columns, ints({5, 4}), ints({2, 2})}),
               expected);
}

TEST(Col2Im, LinesAndVolumes) {
  const at::Tensor line = at::tensor({1.f, 2.f, 3.f, 10.f, 20.f, 30.f}).reshape({1, 2, 3});
  expect_close(run_op1("y = Col2Im (x, i, b)", {line, ints({4}), ints({2})}),
               at::tensor({1.f, 12.f, 23.f, 30.f}).reshape({1, 1, 4}));
  const at::Tensor volume = random({1, 8, 1});
  expect_close(run_op1("y = Col2Im (x, i, b)", {volume, ints({2, 2, 2}), ints({2, 2, 2})}).flatten(),
               volume.flatten());
}

TEST(Col2Im, TrainsAndRefusesBadInput) {
  expect_gradient("y = Col2Im (x, i, b)", {random({1, 4, 4}), ints({3, 3}), ints({2, 2})});
  expect_gradient("y = Col2Im <pads = [0, 1]> (x, i, b)", {random({1, 2, 3}), ints({3}), ints({2})});
  const at::Tensor x = random({1, 4, 4});
  EXPECT_THROW(run_op1("y = Col2Im (x, i, b)", {x, ints({4, 3}), ints({2, 2})}), Error);
  EXPECT_THROW(run_op1("y = Col2Im (x, i, b)", {x, ints({3, 3}), ints({3, 2})}), Error);
  EXPECT_THROW(run_op1("y = Col2Im (x, i, b)", {x, ints({3}), ints({2, 2})}), Error);
  EXPECT_THROW(run_op1("y = Col2Im (x, i, b)", {x, ints({1, 1}), ints({2, 2})}), Error);
  EXPECT_THROW(run_op1("y = Col2Im (x, i, b)", {x, ints({3, 3}), ints({0, 2})}), Error);
  EXPECT_THROW(run_op1("y = Col2Im (x, i, b)", {x, ints({3, -3}), ints({2, 2})}), Error);
  EXPECT_EQ(to_string(inferred("<ir_version: 10, opset_import: [\"\" : 21]> g (float[N,8,4] x) => () "
                               "<int64[2] i = {3, 3}, int64[2] b = {2, 2}> { y = Col2Im (x, i, b) }",
                               "y")),
            "float[N,2,3,3]");
}

TEST(CenterCropPad, CutsAndPadsAroundTheMiddle) {
  const at::Tensor x = counting({5, 4});
  expect_close(run_op1("y = CenterCropPad (x, s)", {x, ints({2, 7})}),
               at::constant_pad_nd(x.narrow(0, 1, 2), {1, 2}));
  expect_close(run_op1("y = CenterCropPad <axes = [-1]> (x, s)", {x, ints({1})}), x.narrow(1, 1, 1));
  expect_close(run_op1("y = CenterCropPad <axes = [1, 0]> (x, s)", {x, ints({4, 6})}),
               at::constant_pad_nd(x, {0, 0, 0, 1}));
  expect_gradient("y = CenterCropPad (x, s)", {random({3, 4}), ints({5, 2})});
  EXPECT_THROW(run_op1("y = CenterCropPad (x, s)", {x, ints({2})}), Error);
  EXPECT_THROW(run_op1("y = CenterCropPad <axes = [2]> (x, s)", {x, ints({2})}), Error);
  EXPECT_THROW(run_op1("y = CenterCropPad (x, s)", {x, ints({2, -1})}), Error);
}

}  // namespace
}  // namespace mc::testing
