#include <cmath>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

TEST(Float4, QuantizesToTheNearestOfItsValues) {
  const at::Tensor x = at::arange(-160, 161, at::kFloat) / 16, scale = at::tensor(0.5f);
  const Slot y = run_op("y = QuantizeLinear <output_dtype = 23> (x, s)", {x, scale}, 23).at(0);
  EXPECT_EQ(y.dtype(), DType::kFloat4E2M1);
  const at::Tensor values = at::tensor({0.f, .5f, 1.f, 1.5f, 2.f, 3.f, 4.f, 6.f});
  const at::Tensor wanted = (x / scale).abs().unsqueeze(1);
  const at::Tensor best = std::get<0>((wanted - values).abs().min(1));
  expect_close((y.tensor.abs() - wanted.squeeze(1)).abs(), best);
  EXPECT_TRUE((y.tensor * x >= 0).all().item<bool>());
  EXPECT_EQ(y.tensor.abs().max().item<float>(), 6);
}

TEST(Float4, TiesGoToTheEvenCode) {
  const at::Tensor ties = at::tensor({.25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.f, -.75f, 100.f, NAN});
  const Slot y = run_op("y = Cast <to = 23> (x)", {ties}, 23).at(0);
  expect_close(y.tensor, at::tensor({0.f, 1.f, 1.f, 2.f, 2.f, 4.f, 4.f, -1.f, 6.f, -0.f}));
}

}  // namespace
}  // namespace mc::testing
