#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::counting;
using testing::expect_close;
using testing::expect_gradient;
using testing::ints;
using testing::run_op;
using testing::run_op1;

TEST(ShapeOps, ShapeAndSize) {
  const at::Tensor x = counting({2, 3, 4});
  expect_close(run_op1("y = Shape (x)", {x}), ints({2, 3, 4}));
  expect_close(run_op1("y = Shape <start = 1, end = -1> (x)", {x}), ints({3}));
  expect_close(run_op1("y = Shape <start = -10, end = 10> (x)", {x}), ints({2, 3, 4}));
  expect_close(run_op1("y = Shape <start = 2, end = 1> (x)", {x}), at::empty({0}, at::kLong));
  expect_close(run_op1("y = Size (x)", {x}), at::scalar_tensor(24, at::kLong));
}

TEST(ShapeOps, ReshapeCopiesAndFillsDims) {
  const at::Tensor x = counting({2, 3, 4});
  for (const std::set<size_t>& constants : {std::set<size_t>{}, std::set<size_t>{1}}) {
    EXPECT_EQ(run_op1("y = Reshape (x, s)", {x, ints({0, -1})}, 21, false, constants).sizes(),
              (at::IntArrayRef{2, 12}));
  }
  const at::Tensor empty = at::empty({0, 3});
  EXPECT_EQ(run_op1("y = Reshape <allowzero = 1> (x, s)", {empty, ints({3, 0})}).sizes(),
            (at::IntArrayRef{3, 0}));
  EXPECT_THROW(run_op1("y = Reshape (x, s)", {x, ints({5, -1})}), Error);
  EXPECT_THROW(run_op1("y = Reshape (x, s)", {x, ints({-1, -1})}), Error);
  EXPECT_THROW(run_op1("y = Reshape (x, s)", {x, ints({2, 3, 4, 0})}), Error);
}

TEST(ShapeOps, FlattenSqueezeUnsqueeze) {
  const at::Tensor x = counting({2, 1, 3, 1});
  EXPECT_EQ(run_op1("y = Flatten <axis = -1> (x)", {x}).sizes(), (at::IntArrayRef{6, 1}));
  EXPECT_EQ(run_op1("y = Flatten <axis = 0> (x)", {x}).sizes(), (at::IntArrayRef{1, 6}));
  EXPECT_EQ(run_op1("y = Squeeze (x)", {x}).sizes(), (at::IntArrayRef{2, 3}));
  EXPECT_EQ(run_op1("y = Squeeze (x, a)", {x, ints({-1})}).sizes(), (at::IntArrayRef{2, 1, 3}));
  EXPECT_EQ(run_op1("y = Squeeze <axes = [1]> (x)", {x}, 11).sizes(), (at::IntArrayRef{2, 3, 1}));
  EXPECT_THROW(run_op1("y = Squeeze (x, a)", {x, ints({0})}), Error);
  EXPECT_EQ(run_op1("y = Unsqueeze (x, a)", {counting({2, 3}), ints({-1, 0})}).sizes(),
            (at::IntArrayRef{1, 2, 3, 1}));
  EXPECT_EQ(run_op1("y = Unsqueeze <axes = [2]> (x)", {counting({2, 3})}, 11).sizes(),
            (at::IntArrayRef{2, 3, 1}));
  EXPECT_THROW(run_op1("y = Unsqueeze (x, a)", {counting({2, 3}), ints({1, 1})}), Error);
}

TEST(ShapeOps, ExpandBroadcastsBothWays) {
  EXPECT_EQ(run_op1("y = Expand (x, s)", {counting({3, 1}), ints({2, 1, 4})}).sizes(),
            (at::IntArrayRef{2, 3, 4}));
  expect_gradient("y = Expand (x, s)", {counting({3, 1}), ints({3, 2})});
}

TEST(ShapeOps, Transpose) {
  const at::Tensor x = counting({2, 3, 4});
  expect_close(run_op1("y = Transpose <perm = [1, 0, 2]> (x)", {x}), x.permute({1, 0, 2}));
  expect_close(run_op1("y = Transpose (x)", {x}), x.permute({2, 1, 0}));
  EXPECT_THROW(run_op1("y = Transpose <perm = [0, 0, 1]> (x)", {x}), Error);
  EXPECT_THROW(run_op1("y = Transpose <perm = [0, 1]> (x)", {x}), Error);
}

TEST(ShapeOps, DepthToSpaceIsPixelShuffle) {
  const at::Tensor x = counting({1, 8, 2, 3});
  expect_close(run_op1("y = DepthToSpace <blocksize = 2, mode = \"CRD\"> (x)", {x}), at::pixel_shuffle(x, 2));
  const at::Tensor y = run_op1("y = DepthToSpace <blocksize = 2> (x)", {x});
  expect_close(run_op1("y = SpaceToDepth <blocksize = 2> (x)", {y}), x);
  EXPECT_THROW(run_op1("y = DepthToSpace <blocksize = 3> (x)", {x}), Error);
}

TEST(ShapeOps, TileAndTriangles) {
  const at::Tensor x = counting({2, 2});
  expect_close(run_op1("y = Tile (x, r)", {x, ints({1, 2})}),
               at::tensor({0.f, 1.f, 0.f, 1.f, 2.f, 3.f, 2.f, 3.f}).reshape({2, 4}));
  expect_close(run_op1("y = Trilu <upper = 0> (x)", {x}), at::tensor({0.f, 0.f, 2.f, 3.f}).reshape({2, 2}));
  expect_close(run_op1("y = Trilu (x, k)", {x, at::scalar_tensor(1, at::kLong)}),
               at::tensor({0.f, 1.f, 0.f, 0.f}).reshape({2, 2}));
}

TEST(ShapeOps, ConcatAndSplit) {
  const at::Tensor a = counting({2, 3}), b = counting({2, 2});
  const at::Tensor joined = run_op1("y = Concat <axis = -1> (a, b)", {a, b});
  const auto parts = run_op("p, q = Split <axis = 1> (x, s)", {joined, ints({3, 2})});
  expect_close(parts[0].tensor, a);
  expect_close(parts[1].tensor, b);
  const auto uneven = run_op("p, q, r = Split <axis = 1, num_outputs = 3> (x)", {joined});
  EXPECT_EQ(uneven[0].tensor.size(1), 2);
  EXPECT_EQ(uneven[2].tensor.size(1), 1);
  const auto attribute = run_op("p, q = Split <axis = 0, split = [1, 1]> (x)", {joined}, 11);
  expect_close(attribute[1].tensor, joined.slice(0, 1, 2));
  EXPECT_THROW(run_op("p, q = Split (x, s)", {joined, ints({2})}), Error);
  expect_gradient("y = Concat <axis = 1> (a, b)", {a, b});
}

TEST(ShapeOps, SliceFollowsNumpy) {
  const at::Tensor x = counting({10});
  const auto slice = [&](int64_t start, int64_t end, int64_t step) {
    return run_op1("y = Slice (x, s, e, a, t)", {x, ints({start}), ints({end}), ints({0}), ints({step})});
  };
  expect_close(slice(1, 8, 3), at::tensor({1.f, 4.f, 7.f}));
  expect_close(slice(8, 1, -3), at::tensor({8.f, 5.f, 2.f}));
  expect_close(slice(-1, INT64_MIN, -4), at::tensor({9.f, 5.f, 1.f}));
  expect_close(slice(0, INT64_MAX, 5), at::tensor({0.f, 5.f}));
  expect_close(slice(20, 3, 1), at::empty({0}));
  expect_close(slice(-100, 2, 1), at::tensor({0.f, 1.f}));
  EXPECT_THROW(slice(0, 1, 0), Error);
  expect_close(run_op1("y = Slice <starts = [2], ends = [4]> (x)", {x}, 9), at::tensor({2.f, 3.f}));
  expect_gradient("y = Slice (x, s, e, a, t)", {x, ints({8}), ints({1}), ints({0}), ints({-3})});
}

TEST(ShapeOps, ReverseSequence) {
  const at::Tensor x = counting({2, 3});
  const at::Tensor lengths = ints({2, 3});
  expect_close(run_op1("y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l)", {x, lengths}),
               at::tensor({1.f, 0.f, 2.f, 5.f, 4.f, 3.f}).reshape({2, 3}));
}

TEST(ShapeOps, PadRepeatsElements) {
  const at::Tensor x = at::tensor({1.f, 2.f, 3.f});
  const auto pad = [&](const std::string& mode, int64_t before, int64_t after) {
    return run_op1("y = Pad <mode = \"" + mode + "\"> (x, p)", {x, ints({before, after})});
  };
  expect_close(pad("constant", 1, 2), at::tensor({0.f, 1.f, 2.f, 3.f, 0.f, 0.f}));
  expect_close(pad("constant", -1, 1), at::tensor({2.f, 3.f, 0.f}));
  expect_close(pad("reflect", 2, 2), at::tensor({3.f, 2.f, 1.f, 2.f, 3.f, 2.f, 1.f}));
  expect_close(pad("edge", 1, 2), at::tensor({1.f, 1.f, 2.f, 3.f, 3.f, 3.f}));
  expect_close(pad("wrap", 1, 2), at::tensor({3.f, 1.f, 2.f, 3.f, 1.f, 2.f}));
  EXPECT_THROW(pad("mirror", 1, 1), Error);
  EXPECT_THROW(run_op1("y = Pad (x, p)", {x, ints({1})}), Error);
  expect_close(run_op1("y = Pad <pads = [1, 0], value = 9.0> (x)", {x}, 10),
               at::tensor({9.f, 1.f, 2.f, 3.f}));
  const at::Tensor value = at::scalar_tensor(5, at::kFloat);
  expect_close(run_op1("y = Pad (x, p, v, a)", {x.reshape({3, 1}), ints({1, 0}), value, ints({-1})}),
               at::tensor({5.f, 1.f, 5.f, 2.f, 5.f, 3.f}).reshape({3, 2}));
  expect_gradient("y = Pad <mode = \"reflect\"> (x, p)", {x, ints({2, 1})});
}

}  // namespace
}  // namespace mc
