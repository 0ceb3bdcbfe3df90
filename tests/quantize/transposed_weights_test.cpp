// Linear layers as PyTorch's exporter writes them train and convert like those whose weights are stored as
// MatMul reads them.
#include "mc/quantize/transposed_weights.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"

namespace mc {
namespace {

Tensor constant_tensor(const at::Tensor& values) {
  const at::Tensor t = values.contiguous();
  return Tensor::floats(t.sizes().vec(), std::span<const float>(t.const_data_ptr<float>(), t.numel()));
}

at::Tensor layer_weight() {
  at::manual_seed(7);
  return at::randn({6, 8});
}

// y = x W^T + b with the weight [out, in], or with its transposed values.
Model linear_layer(bool by_rows) {
  Model model = parse_model(by_rows ? R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8] x) => (float[N,3,6] y)
    {
      [turn] t = Transpose <perm = [1, 0]> (w)
      [product] m = MatMul (x, t)
      [sum] y = Add (m, b)
    })"
                                    : R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8] x) => (float[N,3,6] y)
    {
      [product] m = MatMul (x, w)
      [sum] y = Add (m, b)
    })");
  const at::Tensor weight = layer_weight();
  model.graph.add_initializer("w", constant_tensor(by_rows ? weight : weight.t()));
  model.graph.add_initializer("b", constant_tensor(at::linspace(-1, 1, 6)));
  return model;
}

bool has(const Model& model, const char* op_type) {
  return std::ranges::any_of(model.graph.nodes, [&](const Node& node) { return node.op_type == op_type; });
}

at::Tensor sample(int seed) {
  at::manual_seed(seed);
  return at::randn({4, 3, 8});
}

class TransposedWeight : public ::testing::TestWithParam<const char*> {};

TEST_P(TransposedWeight, TrainsAsTheWeightItselfDoes) {
  QuantizeOptions options;
  options.observer = GetParam();
  std::vector<at::Tensor> outputs, gradients;
  for (const bool by_rows : {true, false}) {
    Model model = linear_layer(by_rows);
    const auto report = prepare_qat(model, options);
    ASSERT_EQ(report.size(), 1U);
    EXPECT_TRUE(report[0].quantized) << report[0].reason;
    verify(model);
    GraphModule module(std::move(model));
    module.train();
    at::Tensor weight = module.tensor("w");
    EXPECT_TRUE(at::equal(weight, by_rows ? layer_weight() : layer_weight().t()));
    outputs.push_back(module.forward(sample(1)));
    outputs.back().square().sum().backward();
    gradients.push_back(by_rows ? weight.grad() : weight.grad().t());
  }
  EXPECT_TRUE(at::allclose(outputs[0], outputs[1], 1e-6, 1e-6));
  EXPECT_TRUE(at::allclose(gradients[0], gradients[1], 1e-5, 1e-5));
}

TEST_P(TransposedWeight, ConvertsToWhatTheStoredWeightConvertsTo) {
  QuantizeOptions options;
  options.observer = GetParam();
  std::vector<at::Tensor> outputs;
  for (const bool by_rows : {true, false}) {
    Model model = linear_layer(by_rows);
    prepare_qat(model, options);
    GraphModule module(std::move(model));
    module.train();
    module.forward(sample(1));
    module.eval();
    Model converted = convert(module, options);
    EXPECT_FALSE(has(converted, "Transpose"));
    EXPECT_FALSE(has(converted, "FakeQuantize"));
    verify(converted);
    GraphModule deployed(std::move(converted));
    deployed.eval();
    outputs.push_back(deployed.forward(sample(1)));
  }
  EXPECT_TRUE(at::allclose(outputs[0], outputs[1], 1e-5, 1e-5));
  const at::Tensor exact = at::matmul(sample(1), layer_weight().t()) + at::linspace(-1, 1, 6);
  EXPECT_LT((outputs[0] - exact).abs().max().item<double>(), 0.5);
}

INSTANTIATE_TEST_SUITE_P(Observers, TransposedWeight, ::testing::Values("moving_average", "lsq"));

TEST(TransposedWeights, StayWhereSomethingElseReadsThem) {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8] x, int64[M] ids) => (float[N,3,6] y, float[M,8] rows)
    {
      t = Transpose <perm = [1, 0]> (w)
      y = MatMul (x, t)
      rows = Gather (w, ids)
    })");
  model.graph.add_initializer("w", constant_tensor(layer_weight()));
  EXPECT_TRUE(take_transposes(model.graph).empty());
  EXPECT_TRUE(has(model, "Transpose"));
}

TEST(TransposedWeights, StayWhereTheLayerStaysFloat) {
  Model model = linear_layer(true);
  model.graph.nodes.push_back(model.graph.nodes[1]);
  Node& second = model.graph.nodes.back();
  second.name = "second";
  second.inputs = {"y", "w2"};
  second.outputs = {"z"};
  model.graph.add_initializer("w2", constant_tensor(at::ones({6, 6})));
  model.graph.outputs[0].name = "z";
  QuantizeOptions options;
  options.keep_float = {"product"};
  prepare_qat(model, options);
  verify(model);
  EXPECT_TRUE(has(model, "Transpose"));
  GraphModule module(std::move(model));
  EXPECT_TRUE(at::equal(module.tensor("w"), layer_weight()));
  const at::Tensor inner = at::matmul(sample(1), layer_weight().t()) + at::linspace(-1, 1, 6);
  module.train();
  const at::Tensor found = module.forward(sample(1));
  EXPECT_LT((found - at::matmul(inner, at::ones({6, 6}))).abs().max().item<double>(), 0.3);
}

}  // namespace
}  // namespace mc
