#include "mc/prune/sparsegpt.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/prune/structure.h"
#include "mc/prune/wanda.h"

namespace mc {
namespace {

// Inputs whose channels go together and differ in size.
at::Tensor mixed_inputs(int64_t samples, int64_t inner) {
  at::manual_seed(1);
  const at::Tensor mix = at::randn({inner, inner}, at::kDouble) / 4 + at::eye(inner, at::kDouble);
  return at::matmul(at::randn({samples, inner}, at::kDouble), mix) * at::randn({inner}, at::kDouble).exp();
}

at::Tensor hessian_of(const at::Tensor& x) {
  return (at::matmul(x.t(), x) * 2 / x.size(0)).unsqueeze(0);
}

at::Tensor damped(const at::Tensor& hessian, double damping) {
  const at::Tensor h = hessian[0];
  return h + at::eye(h.size(0), at::kDouble) * (damping * h.diagonal().mean());
}

double outputs_error(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& other) {
  return at::matmul(x, (weight - other).to(at::kDouble)[0].t()).square().sum().item<double>();
}

ChooseColumns fixed(const at::Tensor& keep) {
  return [keep](const at::Tensor& scores, int64_t begin) { return keep.narrow(2, begin, scores.size(2)); };
}

ChooseColumns half_of_each_block() {
  return [](const at::Tensor& scores, int64_t) { return keep_mask({scores}, 0.5, Unstructured{}); };
}

// Where the columns that go come first, making up for them one by one ends at the least squares of those that
// stay: min |X (w - v)|^2 + damping |w - v|^2 with v = 0 on those that go.
TEST(SparseGpt, IsLeastSquaresWhereTheColumnsThatGoComeFirst) {
  constexpr int64_t kInner = 12, kGone = 5;
  const at::Tensor x = mixed_inputs(60, kInner), hessian = hessian_of(x);
  const at::Tensor weight = at::randn({1, 3, kInner}, at::kDouble);
  at::Tensor keep = at::ones({1, 3, kInner}, at::kBool);
  keep.narrow(2, 0, kGone).fill_(false);
  const SparseLayer layer = sparsegpt(weight, hessian, fixed(keep), {.damping = 0.02});
  const at::Tensor h = damped(hessian, 0.02);
  const at::Tensor stay = h.slice(0, kGone).slice(1, kGone);
  const at::Tensor right = at::matmul(h.slice(0, kGone), weight[0].t());
  EXPECT_TRUE(at::allclose(layer.weight[0].slice(1, kGone).t(), at::linalg_solve(stay, right), 1e-8, 1e-10));
  EXPECT_EQ(layer.weight[0].slice(1, 0, kGone).abs().max().item<double>(), 0);
}

// Equation 3 of optimal brain surgeon for one weight: w - w_p / [H^-1]_pp * H^-1 e_p.
TEST(SparseGpt, OneWeightIsTheSurgeonsUpdate) {
  const at::Tensor x = mixed_inputs(40, 6), hessian = hessian_of(x);
  const at::Tensor weight = at::randn({1, 1, 6}, at::kDouble);
  at::Tensor keep = at::ones({1, 1, 6}, at::kBool);
  keep[0][0][0] = false;
  const at::Tensor inverse = at::linalg_inv(damped(hessian, 0.01));
  const at::Tensor expected = weight[0][0] - weight[0][0][0] / inverse[0][0] * inverse[0];
  const at::Tensor result = sparsegpt(weight, hessian, fixed(keep)).weight[0][0];
  EXPECT_TRUE(at::allclose(result, expected, 1e-9, 1e-12));
}

// The algorithm as the paper writes it, with an inverse computed anew for every set of columns left.
at::Tensor plain_sparsegpt(const at::Tensor& weight, const at::Tensor& hessian, int64_t block) {
  at::Tensor w = weight[0].clone();
  const at::Tensor h = damped(hessian, 0.01);
  const int64_t inner = w.size(1);
  at::Tensor keep;
  for (int64_t j = 0; j < inner; ++j) {
    if (j % block == 0) {
      std::vector<at::Tensor> scores;
      for (int64_t k = j; k < std::min(j + block, inner); ++k) {
        const at::Tensor inverse = at::linalg_inv(h.slice(0, k).slice(1, k));
        scores.push_back(w.select(1, k).square() / inverse[0][0]);
      }
      const at::Tensor all = at::stack(scores, 1);
      const auto order = std::get<1>(all.flatten().sort());
      at::Tensor flat = at::ones({all.numel()}, at::kBool);
      flat.index_fill_(0, order.slice(0, 0, all.numel() / 2), false);
      keep = flat.view(all.sizes());
    }
    const at::Tensor inverse = at::linalg_inv(h.slice(0, j).slice(1, j));
    const at::Tensor gone = w.select(1, j).masked_fill(keep.select(1, j % block), 0);
    w.slice(1, j).sub_(at::outer(gone / inverse[0][0], inverse[0]));
  }
  return w;
}

TEST(SparseGpt, FollowsThePapersAlgorithm) {
  const at::Tensor x = mixed_inputs(400, 20), hessian = hessian_of(x);
  const at::Tensor weight = at::randn({1, 4, 20}, at::kDouble);
  const SparseLayer layer = sparsegpt(weight, hessian, half_of_each_block(), {.mask_columns = 8});
  const at::Tensor plain = plain_sparsegpt(weight, hessian, 8);
  EXPECT_TRUE(at::allclose(layer.weight[0], plain, 1e-7, 1e-9));
  EXPECT_EQ(layer.keep.sum().item<int64_t>(), 40);
  EXPECT_TRUE(at::equal(layer.weight.ne(0), layer.keep));
}

TEST(SparseGpt, UpdatesOfFarColumnsMadeTogetherChangeNothing) {
  const at::Tensor x = mixed_inputs(600, 300), hessian = hessian_of(x);
  const at::Tensor weight = at::randn({1, 3, 300}, at::kDouble);
  const at::Tensor keep = at::rand({1, 3, 300}).gt(0.5);
  const at::Tensor together = sparsegpt(weight, hessian, fixed(keep)).weight;
  const at::Tensor at_once = sparsegpt(weight, hessian, fixed(keep), {.mask_columns = 300}).weight;
  EXPECT_TRUE(at::allclose(together, at_once, 1e-8, 1e-10));
}

TEST(SparseGpt, ErrsLessThanWandaAndMagnitude) {
  const at::Tensor x = mixed_inputs(500, 64), hessian = hessian_of(x);
  const at::Tensor weight = at::randn({1, 16, 64}, at::kDouble);
  const double ours =
      outputs_error(x, weight, sparsegpt(weight, hessian, half_of_each_block(), {.mask_columns = 32}).weight);
  const at::Tensor square = x.square().mean(0).unsqueeze(0);
  const at::Tensor by_inputs = keep_mask({wanda_scores(weight, square)[0]}, 0.5, Uniform{64});
  const double wanda = outputs_error(x, weight, weight * by_inputs);
  const at::Tensor by_size = keep_mask({weight.abs()}, 0.5, Unstructured{});
  const double magnitude = outputs_error(x, weight, weight * by_size);
  EXPECT_LT(ours, 0.7 * wanda);
  EXPECT_LT(wanda, magnitude);
}

TEST(SparseGpt, GroupsAreIndependent) {
  const at::Tensor one = mixed_inputs(50, 8), two = mixed_inputs(90, 8).flip(1);
  const at::Tensor weight = at::randn({2, 3, 8}, at::kDouble), keep = at::rand({2, 3, 8}).gt(0.4);
  const at::Tensor hessian = at::cat({hessian_of(one), hessian_of(two)});
  const at::Tensor both = sparsegpt(weight, hessian, fixed(keep)).weight;
  for (int64_t group = 0; group < 2; ++group) {
    const at::Tensor alone =
        sparsegpt(weight.narrow(0, group, 1), hessian.narrow(0, group, 1), fixed(keep.narrow(0, group, 1)))
            .weight;
    EXPECT_TRUE(at::allclose(both.narrow(0, group, 1), alone, 1e-10, 1e-12));
  }
}

TEST(SparseGpt, AnInputThatWasAlwaysZeroGoesFirstAndMovesNothing) {
  at::Tensor x = mixed_inputs(50, 6);
  x.select(1, 2).zero_();
  const at::Tensor weight = at::full({1, 2, 6}, 3.0, at::kDouble);
  const ChooseColumns two_go = [](const at::Tensor& scores, int64_t) {
    return keep_mask({scores}, 2.0 / 12, Unstructured{});
  };
  const SparseLayer layer = sparsegpt(weight, hessian_of(x), two_go);
  EXPECT_EQ(layer.keep.select(2, 2).sum().item<int64_t>(), 0);
  EXPECT_TRUE(at::equal(layer.weight.slice(2, 3), weight.slice(2, 3)));
}

TEST(SparseGpt, RefusesNaNAndAHessianThatIsNone) {
  const at::Tensor hessian = hessian_of(mixed_inputs(50, 4));
  at::Tensor weight = at::ones({1, 2, 4}, at::kDouble);
  EXPECT_THROW(sparsegpt(weight, -hessian, half_of_each_block()), Error);
  EXPECT_THROW(sparsegpt(weight, hessian * NAN, half_of_each_block()), Error);
  EXPECT_THROW(sparsegpt(weight, hessian, half_of_each_block(), {.mask_columns = 0}), Error);
  weight[0][1][2] = NAN;
  EXPECT_THROW(sparsegpt(weight, hessian, half_of_each_block()), Error);
}

}  // namespace
}  // namespace mc
