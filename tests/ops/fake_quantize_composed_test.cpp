// The path of other devices, on the CPU: the same bits as the CPU's own loops.
#include "mc/ops/fake_quantize_composed.h"

#include <cmath>
#include <limits>

#include "mc/ops/fake_quantize_cpu.h"
#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor composed_values(at::IntArrayRef sizes) {
  at::manual_seed(23);
  return at::randn(sizes) * 2;
}

FakeQuantizeState composed_state(const at::Tensor& scale, const at::Tensor& zero_point) {
  return {scale, zero_point, at::zeros_like(scale), at::ones_like(scale)};
}

std::vector<FakeQuantizeOptions> composed_grids(int64_t axis) {
  std::vector<FakeQuantizeOptions> grids(3);
  for (FakeQuantizeOptions& grid : grids) {
    grid.quant_min = 0;
    grid.quant_max = 255;
    grid.axis = axis;
  }
  grids[1].activation = FakeQuantizeOptions::Activation::kRelu;
  grids[2].activation = FakeQuantizeOptions::Activation::kClip;
  grids[2].clip_min = -0.5F;
  grids[2].clip_max = 1.5F;
  return grids;
}

TEST(FakeQuantizeComposed, EqualsTheCpusLoops) {
  for (const int64_t axis : {-1, 0, 1, 2}) {
    const at::Tensor x = composed_values({7, 9, 83});
    const int64_t channels = axis < 0 ? 1 : x.size(axis);
    const FakeQuantizeState state =
        composed_state(at::rand({channels}) * 0.02 + 0.005, at::randint(0, 200, {channels}).to(at::kInt));
    for (const FakeQuantizeOptions& grid : composed_grids(axis)) {
      const auto [y, passes] = fake_quantize_composed(x, state, grid);
      const auto [expected, bits] = fake_quantize_cpu(x, state, grid, true);
      EXPECT_TRUE(at::equal(y, expected)) << axis;
      const at::Tensor grad = composed_values(x.sizes());
      EXPECT_TRUE(at::equal(at::where(passes, grad, 0), apply_bits_cpu(grad, bits, x.strides().vec())))
          << axis;
    }
  }
}

TEST(FakeQuantizeComposed, LetsNotANumberThroughAndSaturatesAtInfinity) {
  const float infinity = std::numeric_limits<float>::infinity();
  const at::Tensor x = at::tensor({1.F, NAN, -infinity, 3.F});
  const FakeQuantizeState state = composed_state(at::full({1}, 0.01F), at::full({1}, 100, at::kInt));
  for (const FakeQuantizeOptions& grid : composed_grids(-1)) {
    const auto [y, passes] = fake_quantize_composed(x, state, grid);
    const at::Tensor expected = fake_quantize_cpu(x, state, grid, false).first;
    EXPECT_TRUE(std::isnan(y[1].item<float>()));
    EXPECT_TRUE(at::equal(y.nan_to_num(-9), expected.nan_to_num(-9)));
    EXPECT_FALSE(passes[1].item<bool>());
  }
}

TEST(FakeQuantizeBlocks, EqualsChannelsOfTheReshapedMatrix) {
  const at::Tensor data = composed_values({24, 10}), grad = composed_values({24, 10});
  for (const int64_t axis : {0, 1}) {
    FakeQuantizeOptions grid;
    grid.quant_min = -7;
    grid.quant_max = 7;
    grid.axis = axis;
    grid.block = axis == 0 ? 6 : 5;
    const auto [low, high] = observed_range(data, grid);
    const auto [scale, zero] = choose_qparams(low, high, -7, 7, true);
    ASSERT_EQ(scale.numel(), data.numel() / grid.block);
    at::Tensor x = data.clone().requires_grad_(true), reference = data.clone().requires_grad_(true);
    const at::Tensor y = fake_quantize(x, composed_state(scale, zero), grid);
    y.backward(grad);
    // One row a block: along axis 0 the blocks of a column lie apart.
    const at::Tensor rows = axis == 1 ? reference.reshape({-1, 5})
                                      : reference.reshape({4, 6, 10}).transpose(1, 2).reshape({-1, 6});
    at::Tensor expected = at::fake_quantize_per_channel_affine(rows, scale, zero, 0, -7, 7);
    expected = axis == 1 ? expected.reshape({24, 10})
                         : expected.reshape({4, 10, 6}).transpose(1, 2).reshape({24, 10});
    expected.backward(grad);
    EXPECT_TRUE(at::equal(y, expected)) << axis;
    EXPECT_TRUE(at::equal(x.grad(), reference.grad())) << axis;
    EXPECT_TRUE(at::equal(low, std::get<0>(rows.detach().min(1)))) << axis;
  }
}

TEST(FakeQuantizeBlocks, RefusesPartsOfBlocks) {
  FakeQuantizeOptions grid;
  grid.axis = 1;
  grid.block = 4;
  EXPECT_THROW(
      fake_quantize(composed_values({2, 10}), composed_state(at::ones({5}), at::zeros({5}, at::kInt)), grid),
      Error);
}

}  // namespace
}  // namespace mc::testing
