#include "mc/prune/refit.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace mc {
namespace {

TEST(Refit, IsLeastSquaresOfEveryRow) {
  at::manual_seed(1);
  const at::Tensor mix = at::randn({2, 30, 30}, at::kDouble);
  const at::Tensor x = at::matmul(at::randn({2, 90, 30}, at::kDouble), mix);
  const at::Tensor hessian = at::matmul(x.transpose(1, 2), x) * (2.0 / 90);
  const at::Tensor weight = at::randn({2, 4, 30}, at::kDouble), keep = at::rand({2, 4, 30}).gt(0.5);
  const at::Tensor found =
      refit(weight, weight, keep, hessian, {.damping = 0.05, .iterations = 200, .tolerance = 1e-10});
  EXPECT_EQ(found.masked_select(keep.logical_not()).abs().max().item<double>(), 0);
  for (int64_t group = 0; group < 2; ++group) {
    const at::Tensor h =
        hessian[group] + at::eye(30, at::kDouble) * (0.05 * hessian[group].diagonal().mean());
    for (int64_t row = 0; row < 4; ++row) {
      const at::Tensor here = keep[group][row].nonzero().flatten();
      const at::Tensor rows = h.index_select(0, here);
      const at::Tensor exact = at::linalg_solve(rows.index_select(1, here), at::mv(rows, weight[group][row]));
      EXPECT_TRUE(at::allclose(found[group][row].index_select(0, here), exact, 1e-6, 1e-8));
    }
  }
}

TEST(Refit, NeverEndsWorseAndTakesInputsThatWereAlwaysZero) {
  at::manual_seed(2);
  at::Tensor x = at::randn({40, 12}, at::kDouble);
  x.select(1, 3).zero_();
  const at::Tensor hessian = (at::matmul(x.t(), x) / 20).unsqueeze(0);
  const at::Tensor weight = at::randn({1, 3, 12}, at::kDouble), keep = at::rand({1, 3, 12}).gt(0.5);
  const auto error = [&](const at::Tensor& v) {
    return at::matmul(x, (weight - v)[0].t()).square().sum().item<double>();
  };
  double before = error(weight * keep);
  for (const int64_t iterations : {1, 3, 10}) {
    const double now = error(refit(weight, weight, keep, hessian, {.damping = 0, .iterations = iterations}));
    EXPECT_LE(now, before);
    before = now;
  }
  // Everything is kept, or nothing: there is nothing to do.
  EXPECT_TRUE(at::equal(refit(weight, weight, at::ones_like(keep), hessian), weight));
  EXPECT_EQ(refit(weight, weight, at::zeros_like(keep), hessian).abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace mc
