#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor bytes(std::vector<int> values, at::ScalarType type) {
  return at::tensor(values).to(type);
}

TEST(QuantizeLinear, RoundsTiesToEvenAndSaturates) {
  const at::Tensor x = at::tensor({0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 1000.f, -1000.f});
  const at::Tensor one = at::scalar_tensor(1.f);
  EXPECT_TRUE(at::equal(run_op1("y = QuantizeLinear (x, s, z)", {x, one, at::scalar_tensor(0, at::kChar)}),
                        bytes({0, 2, 2, 0, -2, 127, -128}, at::kChar)));
  // The zero point is added after rounding.
  EXPECT_TRUE(at::equal(run_op1("y = QuantizeLinear (x, s, z)", {x, one, at::scalar_tensor(3, at::kByte)}),
                        bytes({3, 5, 5, 3, 1, 255, 0}, at::kByte)));
  EXPECT_TRUE(
      at::equal(run_op1("y = QuantizeLinear (x, s)", {x, one}), bytes({0, 2, 2, 0, 0, 255, 0}, at::kByte)));
}

// x / scale, not x * (1 / scale): 1.45 / 2.9 is exactly a tie in float, the product with the reciprocal is
// not bound to be.
TEST(QuantizeLinear, Divides) {
  at::manual_seed(1);
  const at::Tensor x = at::arange(-300, 300).to(at::kFloat) * 0.05f, scale = at::scalar_tensor(0.1f);
  at::Tensor expected = at::empty({600}, at::kChar);
  for (int64_t i = 0; i < 600; ++i) {
    const float level = std::nearbyint(x[i].item<float>() / 0.1f);
    expected[i] = static_cast<int>(std::min(127.f, std::max(-128.f, level)));
  }
  EXPECT_TRUE(at::equal(run_op1("y = QuantizeLinear (x, s, z)", {x, scale, at::scalar_tensor(0, at::kChar)}),
                        expected));
}

TEST(QuantizeLinear, QuantizesPerChannelAndPerBlock) {
  const at::Tensor x = at::tensor({2.f, 4.f, 6.f, 8.f, 10.f, 12.f}).view({2, 3});
  EXPECT_TRUE(at::equal(run_op1("y = QuantizeLinear <axis = 0> (x, s, z)",
                                {x, at::tensor({1.f, 2.f}), bytes({0, 1}, at::kChar)}),
                        bytes({2, 4, 6, 5, 6, 7}, at::kChar).view({2, 3})));
  EXPECT_TRUE(at::equal(run_op1("y = QuantizeLinear <axis = 1, block_size = 2, output_dtype = 3> (x, s)",
                                {x, at::tensor({1.f, 2.f, 4.f, 1.f}).view({2, 2})}),
                        bytes({2, 4, 3, 2, 2, 12}, at::kChar).view({2, 3})));
  EXPECT_THROW(run_op1("y = QuantizeLinear <axis = 0> (x, s)", {x, at::ones({3})}), Error);
  EXPECT_THROW(run_op1("y = QuantizeLinear <block_size = 2> (x, s)", {x, at::ones({2, 1})}), Error);
}

TEST(QuantizeLinear, KeepsSubByteTypesInBytes) {
  const Slot y = run_op("y = QuantizeLinear <output_dtype = 22> (x, s)",
                        {at::tensor({-20.f, -3.f, 20.f}), at::scalar_tensor(1.f)})[0];
  EXPECT_EQ(y.dtype(), DType::kInt4);
  EXPECT_TRUE(at::equal(y.tensor, bytes({-8, -3, 7}, at::kChar)));
}

TEST(DequantizeLinear, UndoesQuantization) {
  const at::Tensor q = bytes({-128, 0, 127, 5}, at::kChar);
  expect_close(
      run_op1("y = DequantizeLinear (x, s, z)", {q, at::scalar_tensor(.5f), at::scalar_tensor(3, at::kChar)}),
      at::tensor({-65.5f, -1.5f, 62.f, 1.f}));
  expect_close(run_op1("y = DequantizeLinear <axis = 0> (x, s, z)",
                       {q.view({2, 2}), at::tensor({1.f, 2.f}), bytes({0, 7}, at::kChar)}),
               at::tensor({-128.f, 0.f, 240.f, -4.f}).view({2, 2}));
  expect_close(
      run_op1("y = DequantizeLinear (x, s)", {at::tensor({1 << 20, -7}, at::kInt), at::scalar_tensor(.25f)}),
      at::tensor({262144.f, -1.75f}));
  const at::Tensor half =
      run_op1("y = DequantizeLinear <output_dtype = 10> (x, s)", {q, at::scalar_tensor(.5f)}, 23);
  EXPECT_EQ(half.scalar_type(), at::kHalf);
}

// ONNX's example: x in [-1, 3] gives scale 4 / 255 and zero point 64.
TEST(DynamicQuantizeLinear, ChoosesScaleAndZeroPoint) {
  const auto outputs = run_op("y, s, z = DynamicQuantizeLinear (x)", {at::tensor({0.f, 3.f, -1.f, 1.f})});
  EXPECT_FLOAT_EQ(outputs[1].tensor.item<float>(), 4.f / 255);
  EXPECT_EQ(outputs[2].tensor.item<int>(), 64);
  EXPECT_TRUE(at::equal(outputs[0].tensor, bytes({64, 255, 0, 128}, at::kByte)));
}

TEST(QuantizeLinear, InfersTypes) {
  const std::string text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, 3] x, float s, int8 z) => (float b) {
      a = QuantizeLinear (x, s, z)
      b = DequantizeLinear (a, s, z)
    })";
  EXPECT_EQ(to_string(inferred(text, "a")), "int8[N,3]");
  EXPECT_EQ(to_string(inferred(text, "b")), "float[N,3]");
}

TEST(IntegerProducts, AreExact) {
  const at::Tensor a = bytes({1, 255, 3, 4}, at::kByte).view({2, 2}),
                   b = bytes({-128, 2, 5, 127}, at::kChar).view({2, 2});
  const at::Tensor zero = at::scalar_tensor(1, at::kByte);
  EXPECT_TRUE(at::equal(run_op1("y = MatMulInteger (a, b, z)", {a, b, zero}),
                        bytes({1270, 254 * 127, -256 + 15, 4 + 381}, at::kInt).view({2, 2})));
  const at::Tensor x = at::arange(9, at::kInt).to(at::kByte).view({1, 1, 3, 3}),
                   w = at::ones({1, 1, 2, 2}, at::kByte);
  // With the zero point 1 padding counts as 0, not as -1.
  EXPECT_TRUE(at::equal(run_op1("y = ConvInteger <pads = [1, 1, 0, 0]> (x, w, z)", {x, w, zero}),
                        bytes({-1, -1, 1, 1, 4, 8, 7, 16, 20}, at::kInt).view({1, 1, 3, 3})));
}

TEST(IntegerProducts, RequantizeTheirSums) {
  at::manual_seed(4);
  const at::Tensor x = at::randint(0, 256, {1, 2, 5, 5}).to(at::kByte),
                   w = at::randint(-128, 128, {3, 2, 3, 3}).to(at::kChar);
  const at::Tensor bias = at::randint(-500, 500, {3}).to(at::kInt), ws = at::tensor({.01f, .02f, .03f});
  const at::Tensor wz = at::zeros({3}, at::kChar);
  const at::Tensor y = run_op1("y = QLinearConv (x, xs, xz, w, ws, wz, ys, yz, b)",
                               {x, at::scalar_tensor(.1f), at::scalar_tensor(128, at::kByte), w, ws, wz,
                                at::scalar_tensor(.7f), at::scalar_tensor(100, at::kByte), bias});
  const at::Tensor sums = at::conv2d(x.to(at::kDouble) - 128, w.to(at::kDouble), bias.to(at::kDouble));
  const at::Tensor real = sums * (ws.to(at::kDouble) * .1 / .7).view({1, 3, 1, 1});
  const at::Tensor expected = at::clamp(at::round(real) + 100, 0, 255);
  // The factor is a float: near a tie a level may differ by one.
  EXPECT_LE((y.to(at::kDouble) - expected).abs().max().item<double>(), 1);
  EXPECT_GE((y.to(at::kDouble) == expected).to(at::kDouble).mean().item<double>(), .95);
  const at::Tensor a = bytes({200, 3, 4, 100}, at::kByte).view({2, 2}), one = at::scalar_tensor(1.f);
  const at::Tensor zero = at::scalar_tensor(0, at::kByte);
  EXPECT_TRUE(at::equal(run_op1("y = QLinearMatMul (a, as, az, b, bs, bz, ys, yz)",
                                {a, one, zero, bytes({1, 0, 0, 1}, at::kByte).view({2, 2}), one, zero,
                                 at::scalar_tensor(2.f), zero}),
                        bytes({100, 2, 2, 50}, at::kByte).view({2, 2})));
}

}  // namespace
}  // namespace mc::testing
