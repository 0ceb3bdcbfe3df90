#include "mc/calibration/layer_matrix.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/calibration/inverse_factor.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

Node layer_node(const std::string& text) {
  return parse_model(R"(<ir_version: 8, opset_import: ["" : 17]> net (float[N,4] x) => (float y) { y = )" +
                     text + " }")
      .graph.nodes[0];
}

// What the rows of `x` and the matrix of `weight` multiply to: [outputs, rows of all groups].
at::Tensor by_matrix(const Node& node, const at::Tensor& weight, const at::Tensor& x) {
  const at::Tensor rows = layer_input(node, weight.sizes().vec())->rows(x);
  return at::matmul(to_matrix(node, weight), rows.transpose(1, 2)).flatten(0, 1);
}

at::Tensor channels_first(const at::Tensor& y) {
  return y.transpose(0, 1).flatten(1);
}

TEST(LayerMatrix, ConvolutionIsAProductOfMatrices) {
  at::manual_seed(1);
  const Node node =
      layer_node("Conv <group = 2, strides = [2, 1], dilations = [1, 2], pads = [1, 0, 2, 3]> (x, w)");
  const at::Tensor x = at::randn({3, 4, 7, 9}), weight = at::randn({6, 2, 3, 2});
  const at::Tensor padded = at::constant_pad_nd(x, {0, 3, 1, 2});
  const at::Tensor y = at::conv2d(padded, weight, {}, {2, 1}, at::IntArrayRef{0, 0}, {1, 2}, 2);
  EXPECT_TRUE(at::allclose(by_matrix(node, weight, x), channels_first(y), 1e-5, 1e-5));
}

TEST(LayerMatrix, OneAndThreeAxesAndSamePadding) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({2, 3, 8}), weight = at::randn({4, 3, 5});
  const Node same = layer_node("Conv <auto_pad = \"SAME_UPPER\"> (x, w)");
  const at::Tensor y = at::conv1d(x, weight, {}, 1, at::IntArrayRef{2});
  EXPECT_TRUE(at::allclose(by_matrix(same, weight, x), channels_first(y), 1e-5, 1e-5));

  const at::Tensor volume = at::randn({1, 2, 4, 5, 6}), kernel = at::randn({3, 2, 2, 3, 2});
  const at::Tensor z = at::conv3d(volume, kernel);
  EXPECT_TRUE(
      at::allclose(by_matrix(layer_node("Conv (x, w)"), kernel, volume), channels_first(z), 1e-5, 1e-5));
}

TEST(LayerMatrix, MatricesOfEitherLayout) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({2, 5, 4}), weight = at::randn({4, 3});
  const at::Tensor y = at::matmul(x, weight).flatten(0, 1).t();
  EXPECT_TRUE(at::allclose(by_matrix(layer_node("MatMul (x, w)"), weight, x), y, 1e-5, 1e-6));
  const Node gemm = layer_node("Gemm <transB = 1> (x, w)");
  EXPECT_TRUE(at::allclose(by_matrix(gemm, weight.t().contiguous(), x), y, 1e-5, 1e-6));
}

TEST(LayerMatrix, ComesBackAsItWas) {
  at::manual_seed(4);
  const Node conv = layer_node("Conv <group = 3> (x, w)");
  const at::Tensor weight = at::randn({6, 4, 3, 2});
  const at::Tensor matrix = to_matrix(conv, weight);
  EXPECT_EQ(matrix.sizes(), (std::vector<int64_t>{3, 2, 24}));
  // Neighbours in a row are neighbours along the input channels.
  EXPECT_EQ(matrix[1][0][1].item<float>(), weight[2][1][0][0].item<float>());
  EXPECT_TRUE(at::equal(from_matrix(conv, matrix, weight.sizes()), weight));
  const Node product = layer_node("MatMul (x, w)");
  const at::Tensor square = at::randn({5, 7});
  EXPECT_TRUE(at::equal(from_matrix(product, to_matrix(product, square), square.sizes()), square));
}

TEST(LayerMatrix, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(layer_input(layer_node("ConvTranspose (x, w)"), {4, 4, 3, 3}).has_value());
  const Node conv = layer_node("Conv (x, w)");
  EXPECT_THROW(by_matrix(conv, at::randn({4, 3, 3, 3}), at::randn({1, 2, 8, 8})), Error);
  EXPECT_THROW(by_matrix(conv, at::randn({4, 3, 3, 3}), at::randn({1, 3, 2, 2})), Error);
  EXPECT_THROW(by_matrix(layer_node("MatMul (x, w)"), at::randn({4, 3}), at::randn({2, 5})), Error);
}

TEST(InverseFactor, IsTheCholeskyFactorOfTheDampedInverse) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({2, 20, 6}, at::kDouble);
  const at::Tensor hessian = at::matmul(x.transpose(1, 2), x);
  const at::Tensor factor = inverse_factor(hessian, 0.1);
  for (int64_t group = 0; group < 2; ++group) {
    const at::Tensor mean = hessian[group].diagonal().mean();
    const at::Tensor inverse = at::linalg_inv(hessian[group] + 0.1 * mean * at::eye(6, at::kDouble));
    EXPECT_TRUE(at::allclose(at::matmul(factor[group].t(), factor[group]), inverse, 1e-9, 1e-12));
    EXPECT_EQ(factor[group].tril(-1).abs().max().item<double>(), 0);
  }
  EXPECT_THROW(inverse_factor(-hessian, 0.1), Error);
}

TEST(InputStatistics, OfTheWindowsOfAGroupedConvolution) {
  at::manual_seed(6);
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4,6,6] x) => (float y) { y = Conv <group = 2, pads = [1,1,1,1]> (x, w) })");
  const at::Tensor weight = at::randn({4, 2, 3, 3});
  model.graph.add_initializer("w", to_constant(weight));
  const Node node = model.graph.nodes[0];
  const at::Tensor first = at::randn({2, 4, 6, 6}), second = at::randn({3, 4, 6, 6});
  Samples samples;
  samples.count = 5;
  samples.pass = [&]() -> NextBatch {
    return [&, at = 0]() mutable -> std::optional<Batch> {
      if (at == 2) return std::nullopt;
      return ++at == 1 ? Batch{{first}, {}, {0, 1}} : Batch{{second}, {}, {2, 3, 4}};
    };
  };
  GraphModule module(model);
  const InputView view = *layer_input(node, weight.sizes().vec());
  const CollectedInputs found = collect_inputs(module, {{"w", view}}, samples);
  const InputStatistics& statistics = found.values.at("w");
  const at::Tensor rows = view.rows(at::cat({first, second})).to(at::kDouble);
  EXPECT_EQ(statistics.rows, 5 * 36);
  EXPECT_EQ(found.samples, 5);
  const at::Tensor hessian = at::matmul(rows.transpose(1, 2), rows) * (2.0 / (5 * 36));
  EXPECT_TRUE(at::allclose(statistics.hessian, hessian, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(statistics.square, rows.square().mean(1), 1e-5, 1e-7));
  EXPECT_TRUE(at::allclose(statistics.mean, rows.mean(1), 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(statistics.magnitude, rows.abs().mean(1), 1e-5, 1e-7));
  EXPECT_FALSE(
      collect_inputs(module, {{"w", view}}, samples, {.hessians = false}).values.at("w").hessian.defined());
}

}  // namespace
}  // namespace mc
