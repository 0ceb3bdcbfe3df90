#include "mc/quantize/weight_methods.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

// Inputs whose channels go together and differ in size, as behind a layer of a transformer.
at::Tensor correlated_inputs(int64_t samples, int64_t inner) {
  at::manual_seed(1);
  const at::Tensor mix = at::randn({inner, inner}) / 8 + at::eye(inner);
  return at::matmul(at::randn({samples, inner}), mix) * at::randn({inner}).exp();
}

InputStatistics statistics_of(const at::Tensor& x) {
  const at::Tensor wide = x.to(at::kDouble);
  return {at::matmul(wide.t(), wide) * 2 / x.size(0), wide.abs().mean(0), x.size(0)};
}

at::Tensor random_weight(int64_t rows, int64_t inner) {
  at::manual_seed(2);
  return at::randn({rows, inner}) * 0.05;
}

double squared_error(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& other) {
  return at::matmul(x, (weight - other).t()).square().mean().item<double>();
}

// Algorithm 1 of the paper as it stands there, one column and one row at a time, all scales known beforehand
// or chosen when a block begins.
at::Tensor plain_gptq(const at::Tensor& weight, const at::Tensor& hessian, const BlockGrid& grid,
                      bool act_order) {
  const int64_t inner = weight.size(1), rows = weight.size(0);
  const at::Tensor order =
      act_order ? at::argsort(hessian.diagonal(), 0, true) : at::arange(inner, at::kLong);
  at::Tensor w = weight.to(at::kDouble).index_select(1, order).clone();
  at::Tensor h = hessian.index_select(0, order).index_select(1, order).clone();
  h = h + at::eye(inner, at::kDouble) * (0.01 * hessian.diagonal().mean());
  const at::Tensor u = at::linalg_cholesky(at::linalg_inv(h), true);
  at::Tensor result = at::zeros({rows, inner}, at::kDouble);
  at::Tensor low = at::zeros({rows}), high = at::zeros({rows});
  for (int64_t j = 0; j < inner; ++j) {
    const int64_t column = order[j].item<int64_t>();
    const int64_t begin = column / grid.block * grid.block;
    const int64_t size = std::min(grid.block, inner - begin);
    if (act_order || j % grid.block == 0) {
      const at::Tensor source = (act_order ? weight.to(at::kDouble) : w).narrow(1, begin, size);
      low = std::get<0>(source.min(1)).clamp_max(0).to(at::kFloat);
      high = std::get<0>(source.max(1)).clamp_min(0).to(at::kFloat);
    }
    const at::Tensor scale = (high - low) / static_cast<double>(grid.top());
    const at::Tensor zero = at::round(-low / scale);
    for (int64_t row = 0; row < rows; ++row) {
      const auto s = scale[row].item<double>(), z = zero[row].item<double>(), v = w[row][j].item<double>();
      const double code = std::clamp(std::nearbyint(v / s) + z, 0.0, static_cast<double>(grid.top()));
      result[row][column] = (code - z) * s;
      const double error = (v - (code - z) * s) / u[j][j].item<double>();
      w[row] -= u[j] * error;
    }
  }
  return result.to(at::kFloat);
}

TEST(WeightMethods, RoundsToTheNearestOfTheGrid) {
  const at::Tensor weight = random_weight(5, 50);  // the last block is shorter
  for (const int64_t bits : {4, 8}) {
    for (const bool symmetric : {false, true}) {
      const BlockGrid grid{bits, 16, symmetric};
      const BlockWeight result = quantize_rtn(weight, grid);
      ASSERT_EQ(result.codes.sizes(), weight.sizes());
      ASSERT_EQ(result.scale.sizes(), at::IntArrayRef({5, 4}));
      const at::Tensor error = (dequantize_blocks(result, grid) - weight).abs();
      // An asymmetric grid's ends may lie half a step inside of the range, because 0 must be on it.
      EXPECT_TRUE(
          error.le(spread_blocks(result.scale, 16, 50) * 1.001 * (symmetric ? 0.5 : 1)).all().item<bool>());
      EXPECT_LE(result.codes.max().item<int64_t>(), grid.top());
      const bool middle = result.zero.eq(static_cast<double>(grid.middle())).all().item<bool>();
      EXPECT_EQ(middle, symmetric);
    }
  }
}

TEST(WeightMethods, KeepsZeroExactly) {
  at::Tensor weight = random_weight(3, 32);
  weight.narrow(1, 4, 3).zero_();
  weight[1].zero_();
  weight[2].abs_().add_(1);
  for (const bool symmetric : {false, true}) {
    const BlockGrid grid{4, 16, symmetric};
    for (const BlockWeight& result : {quantize_rtn(weight, grid), quantize_hqq(weight, grid)}) {
      const at::Tensor values = dequantize_blocks(result, grid);
      EXPECT_TRUE(values.masked_select(weight == 0).eq(0).all().item<bool>());
      EXPECT_TRUE(at::isfinite(values).all().item<bool>());
    }
  }
}

TEST(WeightMethods, GptqFollowsThePaper) {
  const at::Tensor x = correlated_inputs(300, 72), weight = random_weight(6, 72);
  const at::Tensor hessian = statistics_of(x).hessian;
  for (const int64_t block : {16, 32}) {
    for (const bool act_order : {false, true}) {
      const BlockGrid grid{4, block, false};
      const BlockWeight result = quantize_gptq(weight, hessian, grid, {.act_order = act_order});
      const at::Tensor expected = plain_gptq(weight, hessian, grid, act_order);
      EXPECT_TRUE(dequantize_blocks(result, grid).allclose(expected, 1e-4, 1e-6)) << block << act_order;
    }
  }
}

// More columns than are updated at once.
TEST(WeightMethods, GptqUpdatesColumnsFarAhead) {
  const at::Tensor x = correlated_inputs(800, 288), weight = random_weight(2, 288);
  const at::Tensor hessian = statistics_of(x).hessian;
  const BlockGrid grid{4, 32, false};
  const at::Tensor expected = plain_gptq(weight, hessian, grid, false);
  EXPECT_TRUE(
      dequantize_blocks(quantize_gptq(weight, hessian, grid, {}), grid).allclose(expected, 1e-4, 1e-6));
}

TEST(WeightMethods, HaveLessErrorThanRounding) {
  const at::Tensor x = correlated_inputs(1000, 128), weight = random_weight(64, 128);
  const InputStatistics input = statistics_of(x);
  for (const bool symmetric : {false, true}) {
    const BlockGrid grid{4, 32, symmetric};
    const double plain = squared_error(x, weight, dequantize_blocks(quantize_rtn(weight, grid), grid));
    for (const bool act_order : {false, true}) {
      const BlockWeight gptq = quantize_gptq(weight, input.hessian, grid, {.act_order = act_order});
      EXPECT_LT(squared_error(x, weight, dequantize_blocks(gptq, grid)), 0.75 * plain);
    }
    const at::Tensor factors = awq_factors({weight}, input, grid).to(at::kFloat);
    const at::Tensor awq = dequantize_blocks(quantize_rtn(weight * factors, grid), grid) / factors;
    EXPECT_LT(squared_error(x, weight, awq), 0.9 * plain);
    EXPECT_LT(squared_error(x, weight, dequantize_blocks(quantize_hqq(weight, grid), grid)), plain);
  }
}

TEST(WeightMethods, MeasureTheErrorOfOutputs) {
  const at::Tensor x = correlated_inputs(200, 32), weight = random_weight(4, 32);
  const BlockGrid grid{4, 16, false};
  const at::Tensor other = dequantize_blocks(quantize_rtn(weight, grid), grid);
  const double expected = squared_error(x, weight, other) * 2 * 4;  // the mean is over 4 rows, H has a 2
  EXPECT_NEAR(output_error(weight, other, statistics_of(x).hessian), expected, 1e-4 * expected);
}

TEST(WeightMethods, TakeInputsThatAreAlwaysZero) {
  at::Tensor x = correlated_inputs(200, 32);
  x.narrow(1, 3, 2).zero_();
  const at::Tensor weight = random_weight(4, 32);
  const BlockGrid grid{8, 16, false};
  const InputStatistics input = statistics_of(x);
  const at::Tensor values = dequantize_blocks(quantize_gptq(weight, input.hessian, grid, {}), grid);
  EXPECT_TRUE((values - weight).abs().narrow(1, 3, 2).lt(0.01).all().item<bool>());
  EXPECT_TRUE(at::isfinite(awq_factors({weight}, input, grid)).all().item<bool>());
}

TEST(WeightMethods, RefuseBadNumbers) {
  at::Tensor weight = random_weight(2, 16);
  weight[1][3] = std::numeric_limits<float>::quiet_NaN();
  const auto message = [&](auto&& body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message([&] { quantize_rtn(weight, {}); }), HasSubstr("NaN"));
  const at::Tensor indefinite = at::diag(at::linspace(-5, 2, 16, at::kDouble));
  EXPECT_THAT(message([&] { quantize_gptq(random_weight(2, 16), indefinite, {}, {}); }),
              HasSubstr("positive definite"));
}

}  // namespace
}  // namespace mc
