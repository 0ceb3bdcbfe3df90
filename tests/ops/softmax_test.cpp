#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor data() {
  at::manual_seed(2);
  return at::randn({2, 3, 4});
}

at::Tensor normalized(const at::Tensor& x, at::IntArrayRef axes) {
  return x.exp() / x.exp().sum(axes, true);
}

TEST(Softmax, NormalizesOneAxisSince13) {
  expect_close(run_op1("y = Softmax (x)", {data()}, 13), normalized(data(), {2}));
  expect_close(run_op1("y = Softmax <axis = 1> (x)", {data()}, 13), normalized(data(), {1}));
  expect_close(run_op1("y = LogSoftmax <axis = 0> (x)", {data()}, 13), normalized(data(), {0}).log(), 1e-4);
  expect_gradient("y = Softmax <axis = 1> (x)", {data()}, 13);
}

TEST(Softmax, FlattensUntil12) {
  expect_close(run_op1("y = Softmax (x)", {data()}, 12), normalized(data(), {1, 2}));
  expect_close(run_op1("y = Softmax <axis = 2> (x)", {data()}, 11), normalized(data(), {2}));
  expect_close(run_op1("y = LogSoftmax <axis = 0> (x)", {data()}, 11), normalized(data(), {0, 1, 2}).log(),
               1e-4);
  EXPECT_THROW(run_op1("y = Softmax <axis = 5> (x)", {data()}, 11), Error);
}

TEST(Hardmax, MarksTheFirstLargest) {
  const at::Tensor x = at::tensor({1.f, 3.f, 3.f, 0.f, -1.f, -2.f}).view({2, 3});
  expect_close(run_op1("y = Hardmax (x)", {x}, 13), at::tensor({0.f, 1.f, 0.f, 1.f, 0.f, 0.f}).view({2, 3}));
  expect_close(run_op1("y = Hardmax <axis = 0> (x)", {x}, 11),
               at::tensor({0.f, 1.f, 0.f, 0.f, 0.f, 0.f}).view({2, 3}));
}

}  // namespace
}  // namespace mc::testing
