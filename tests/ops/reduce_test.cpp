#include <limits>

#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::expect_close;
using testing::expect_gradient;
using testing::ints;
using testing::run_op;
using testing::run_op1;

TEST(Reduce, AgainstClosedForms) {
  const at::Tensor x = at::tensor({1.f, 2.f, 3.f, -4.f}).reshape({2, 2});
  const at::Tensor axis = ints({1});
  const auto column = [](float a, float b) { return at::tensor({a, b}).reshape({2, 1}); };
  expect_close(run_op1("y = ReduceSum (x, a)", {x, axis}), column(3, -1));
  expect_close(run_op1("y = ReduceMean (x, a)", {x, axis}), column(1.5, -0.5));
  expect_close(run_op1("y = ReduceProd (x, a)", {x, axis}), column(2, -12));
  expect_close(run_op1("y = ReduceMax (x, a)", {x, axis}), column(2, 3));
  expect_close(run_op1("y = ReduceMin (x, a)", {x, axis}), column(1, -4));
  expect_close(run_op1("y = ReduceL1 (x, a)", {x, axis}), column(3, 7));
  expect_close(run_op1("y = ReduceL2 (x, a)", {x, axis}), column(std::sqrt(5.f), 5));
  expect_close(run_op1("y = ReduceSumSquare (x, a)", {x, axis}), column(5, 25));
  expect_close(run_op1("y = ReduceLogSum (x, a)", {x.abs(), axis}), column(std::log(3.f), std::log(7.f)));
  expect_close(run_op1("y = ReduceLogSumExp (x, a)", {x, axis}),
               column(std::log(std::exp(1.f) + std::exp(2.f)), std::log(std::exp(3.f) + std::exp(-4.f))));
}

TEST(Reduce, AxesAsAttributeInputOrNone) {
  const at::Tensor x = at::ones({2, 3, 4});
  expect_close(run_op1("y = ReduceSum <axes = [0, -1], keepdims = 0> (x)", {x}, 11), at::full({3}, 8.f));
  expect_close(run_op1("y = ReduceSum (x)", {x}), at::full({1, 1, 1}, 24.f));
  expect_close(run_op1("y = ReduceSum <keepdims = 0> (x)", {x}), at::scalar_tensor(24.f));
  expect_close(run_op1("y = ReduceSum <noop_with_empty_axes = 1> (x)", {x}), x);
  expect_close(run_op1("y = ReduceSumSquare <noop_with_empty_axes = 1> (x)", {x * 3}), x * 9);
  EXPECT_THROW(run_op1("y = ReduceSum (x, a)", {x, ints({3})}), Error);
}

TEST(Reduce, KeepsIntegerTypes) {
  const at::Tensor x = at::tensor({1, 2, 4}, at::kInt);
  expect_close(run_op1("y = ReduceSum <keepdims = 0> (x)", {x}), at::scalar_tensor(7, at::kInt));
  expect_close(run_op1("y = ReduceMean <keepdims = 0> (x)", {x}), at::scalar_tensor(2, at::kInt));
}

TEST(Reduce, OfNothing) {
  const at::Tensor x = at::empty({2, 0});
  expect_close(run_op1("y = ReduceSum <keepdims = 0> (x, a)", {x, ints({1})}), at::zeros({2}));
  const at::Tensor lowest = run_op1("y = ReduceMax <keepdims = 0> (x, a)", {x, ints({1})});
  EXPECT_EQ(lowest[0].item<float>(), -std::numeric_limits<float>::infinity());
  const at::Tensor highest = run_op1("y = ReduceMin <keepdims = 0> (x, a)", {x.to(at::kChar), ints({1})});
  EXPECT_EQ(highest[0].item<int>(), 127);
}

TEST(Reduce, Gradients) {
  const at::Tensor x = at::tensor({0.5f, 2.f, 3.f, 1.1f}).reshape({2, 2});
  for (const char* op : {"ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceL1", "ReduceL2",
                         "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}) {
    expect_gradient(std::string("y = ") + op + " (x, a)", {x, ints({1})});
  }
}

TEST(Order, ArgMaxAndItsTies) {
  const at::Tensor x = at::tensor({2.f, 2.f, 1.f});
  expect_close(run_op1("y = ArgMax (x)", {x}), ints({0}));
  expect_close(run_op1("y = ArgMax <select_last_index = 1> (x)", {x}), ints({1}));
  expect_close(run_op1("y = ArgMin <keepdims = 0> (x)", {x}), at::scalar_tensor(2, at::kLong));
}

TEST(Order, TopKPrefersTheLowerIndex) {
  const at::Tensor x = at::tensor({1.f, 3.f, 3.f, 2.f});
  const auto top = run_op("v, i = TopK (x, k)", {x, ints({3})});
  expect_close(top[0].tensor, at::tensor({3.f, 3.f, 2.f}));
  expect_close(top[1].tensor, ints({1, 2, 3}));
  const auto bottom = run_op("v, i = TopK <largest = 0> (x, k)", {x, ints({2})});
  expect_close(bottom[1].tensor, ints({0, 3}));
  EXPECT_THROW(run_op("v, i = TopK (x, k)", {x, ints({5})}), Error);
  expect_gradient("v, i = TopK (x, k)", {at::tensor({1.f, 4.f, 3.f, 2.f}), ints({2})});
}

TEST(Order, CumulativeSums) {
  const at::Tensor x = at::tensor({1, 2, 3}, at::kInt);
  const at::Tensor axis = at::scalar_tensor(0, at::kLong);
  expect_close(run_op1("y = CumSum (x, a)", {x, axis}), at::tensor({1, 3, 6}, at::kInt));
  expect_close(run_op1("y = CumSum <exclusive = 1> (x, a)", {x, axis}), at::tensor({0, 1, 3}, at::kInt));
  expect_close(run_op1("y = CumSum <exclusive = 1, reverse = 1> (x, a)", {x, axis}),
               at::tensor({5, 3, 0}, at::kInt));
}

}  // namespace
}  // namespace mc
