#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::counting;
using testing::expect_close;
using testing::expect_gradient;
using testing::ints;
using testing::run_op1;

TEST(Gather, AlongAnyAxisWithNegativeIndices) {
  const at::Tensor x = counting({3, 4});
  expect_close(run_op1("y = Gather (x, i)", {x, ints({-1, 0})}), at::stack({x[2], x[0]}));
  expect_close(run_op1("y = Gather <axis = 1> (x, i)", {x, ints({3, -4}).reshape({2, 1})}),
               at::stack({x.select(1, 3), x.select(1, 0)}, 1).unsqueeze(2));
  expect_close(run_op1("y = Gather <axis = 1> (x, i)", {x, at::scalar_tensor(2, at::kLong)}), x.select(1, 2));
  expect_close(run_op1("y = Gather <axis = 1> (x, i)", {x, at::scalar_tensor(-1, at::kLong)}, 21, false, {1}),
               x.select(1, 3));
  EXPECT_ANY_THROW(run_op1("y = Gather (x, i)", {x, ints({3})}));
  expect_gradient("y = Gather (x, i)", {x, ints({2, 2, 0})});
  expect_gradient("y = Gather <axis = 1> (x, i)", {x, ints({1, 1})});
}

TEST(Gather, ElementsAndTuples) {
  const at::Tensor x = counting({2, 3});
  expect_close(run_op1("y = GatherElements <axis = 1> (x, i)", {x, ints({0, -1, 2, 1}).reshape({2, 2})}),
               at::tensor({0.f, 2.f, 5.f, 4.f}).reshape({2, 2}));
  expect_close(run_op1("y = GatherND (x, i)", {x, ints({0, 1, 1, -1}).reshape({2, 2})}),
               at::tensor({1.f, 5.f}));
  expect_close(run_op1("y = GatherND (x, i)", {x, ints({1}).reshape({1, 1})}), x.slice(0, 1, 2));
  expect_close(run_op1("y = GatherND <batch_dims = 1> (x, i)", {x, ints({2, 0}).reshape({2, 1})}),
               at::tensor({2.f, 3.f}));
  EXPECT_THROW(run_op1("y = GatherND (x, i)", {x, ints({2, 0}).reshape({1, 2})}), Error);
  expect_gradient("y = GatherND (x, i)", {x, ints({0, 1, 1, 2}).reshape({2, 2})});
}

TEST(Gather, CompressKeepsWhatIsTrue) {
  const at::Tensor x = counting({3, 2});
  const at::Tensor mask = at::tensor({0, 1, 1}, at::kLong).to(at::kBool);
  expect_close(run_op1("y = Compress <axis = 0> (x, c)", {x, mask}), x.slice(0, 1, 3));
  expect_close(run_op1("y = Compress (x, c)", {x, mask}), at::tensor({1.f, 2.f}));
}

TEST(Scatter, ReplacesOrReduces) {
  const at::Tensor x = at::tensor({1.f, 2.f, 3.f, 4.f});
  const at::Tensor index = ints({1, -1});
  const at::Tensor updates = at::tensor({10.f, 20.f});
  expect_close(run_op1("y = ScatterElements (x, i, u)", {x, index, updates}),
               at::tensor({1.f, 10.f, 3.f, 20.f}));
  expect_close(run_op1("y = ScatterElements <reduction = \"add\"> (x, i, u)", {x, ints({1, 1}), updates}),
               at::tensor({1.f, 32.f, 3.f, 4.f}));
  expect_close(run_op1("y = ScatterND <reduction = \"mul\"> (x, i, u)", {x, index.unsqueeze(1), updates}),
               at::tensor({1.f, 20.f, 3.f, 80.f}));
  expect_close(run_op1("y = ScatterND (x, i, u)", {x, index.unsqueeze(1), updates}),
               at::tensor({1.f, 10.f, 3.f, 20.f}));
  EXPECT_THROW(run_op1("y = ScatterND (x, i, u)", {x, ints({4, 0}).unsqueeze(1), updates}), Error);
  EXPECT_THROW(run_op1("y = ScatterND <reduction = \"sub\"> (x, i, u)", {x, index.unsqueeze(1), updates}),
               Error);
  expect_gradient("y = ScatterND (x, i, u)", {x, index.unsqueeze(1), updates});
  expect_gradient("y = ScatterElements <reduction = \"add\"> (x, i, u)", {x, index, updates});
}

TEST(Scatter, LeavesItsInputAlone) {
  const at::Tensor x = at::zeros({3});
  run_op1("y = ScatterND (x, i, u)", {x, ints({0}).unsqueeze(1), at::ones({1})});
  expect_close(x, at::zeros({3}));
}

}  // namespace
}  // namespace mc
