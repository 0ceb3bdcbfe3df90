#include "mc/quantize/onnxruntime_form.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/module/graph_module.h"

namespace mc {
namespace {

using ::testing::ElementsAre;

Model gelu(const std::string& half, const std::string& product, const std::string& outputs = "float[N,4] y") {
  return parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4] x) => ()" +
                     outputs + R"()
    <float root = {1.4142135}, float one = {1}, float half = {0.5}, float third = {0.3}>
    {
      d = Div (x, root)
      e = Erf (d)
      s = Add (e, one)
      h = )" + half + R"(
      y = )" + product +
                     R"(
    })");
}

at::Tensor run(const Model& model, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  GraphModule module(model);
  module.eval();
  return module.forward(x);
}

class OrderGelu : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(OrderGelu, HalvesLast) {
  Model model = gelu(GetParam().first, GetParam().second);
  at::manual_seed(3);
  const at::Tensor x = at::randn({50, 4}) * 3, before = run(model, x);
  EXPECT_EQ(order_gelu(model.graph), 1);
  verify(model);
  const Node &product = model.graph.nodes[3], &halved = model.graph.nodes[4];
  EXPECT_THAT(product.inputs, ::testing::UnorderedElementsAre("x", "s"));
  EXPECT_THAT(halved.inputs, ::testing::UnorderedElementsAre(product.outputs[0], "half"));
  EXPECT_THAT(halved.outputs, ElementsAre("y"));
  EXPECT_TRUE(run(model, x).equal(before));
  EXPECT_TRUE(before.allclose(at::gelu(x), 1e-4, 1e-5));
  EXPECT_EQ(order_gelu(model.graph), 0);
}

INSTANTIATE_TEST_SUITE_P(Orders, OrderGelu,
                         ::testing::Values(std::pair{"Mul (half, s)", "Mul (x, h)"},
                                           std::pair{"Mul (s, half)", "Mul (h, x)"}));

TEST(OrderGeluLeaves, WhatIsNoGelu) {
  const char* same = "float[N,4] y";
  // In the last, someone else wants the value that would go away.
  for (const auto& [half, product, outputs] :
       {std::tuple{"Mul (third, s)", "Mul (x, h)", same}, std::tuple{"Mul (half, d)", "Mul (x, h)", same},
        std::tuple{"Mul (half, s)", "Add (x, h)", same},
        std::tuple{"Mul (half, s)", "Mul (x, h)", "float[N,4] y, float[N,4] h"}}) {
    Model model = gelu(half, product, outputs);
    const std::string before = print(model);
    EXPECT_EQ(order_gelu(model.graph), 0) << half << product << outputs;
    EXPECT_EQ(print(model), before);
  }
}

TEST(KeepSumsApart, ThatAreNormalized) {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4] x, int64[N] ids) => (float[N,4] y, float[N,4] z)
    <float[4] gamma = {1, 2, 3, 4}, float[2,4] table = {1, 2, 3, 4, 5, 6, 7, 8}>
    {
      a = Tanh (x)
      s = Add (a, x)
      n = LayerNormalization (s, gamma)
      y = Add (n, s)
      w = Gather (table, ids)
      t = Add (w, x)
      z = LayerNormalization (t, gamma)
    })");
  EXPECT_EQ(keep_sums_apart(model.graph), 1);
  verify(model);
  std::vector<std::string> types;
  for (const Node& node : model.graph.nodes) types.push_back(node.op_type);
  EXPECT_THAT(types,
              ElementsAre("Tanh", "Sum", "LayerNormalization", "Add", "Gather", "Add", "LayerNormalization"));
}

}  // namespace
}  // namespace mc
