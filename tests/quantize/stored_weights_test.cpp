#include "mc/quantize/stored_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "mc/quantize/quantize.h"

namespace mc {
namespace {

// Two layers that read one value, the first with a bias, and one behind it whose names invite collisions.
Model exported_layers(const std::string& input, const std::string& opset = "18") {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : )" +
                            opset + R"(]>
    net ()" + input + R"( x) => (y, z)
    {
      [turn_a] at = Transpose <perm = [1,0]> ("a.weight")
      [turn_b] bt = Transpose <perm = [1,0]> ("b.weight")
      [turn_c] ct = Transpose <perm = [1,0]> ("c.weight")
      [a] p = MatMul (x, at)
      [bias] x_rows = Add ("a.bias", p)
      [b] y = MatMul (x, bt)
      [act] r = Relu (x_rows)
      [c] q = MatMul (r, ct)
      [sum] z = Add (q, r)
    })");
  at::manual_seed(1);
  for (const char* name : {"a.weight", "c.weight"})
    model.graph.add_initializer(name, to_constant(at::randn({6, 6})));
  model.graph.add_initializer("b.weight", to_constant(at::randn({3, 6})));
  model.graph.add_initializer("a.bias", to_constant(at::randn({6})));
  return model;
}

class StoredWeights : public testing::TestWithParam<std::pair<std::string, std::vector<int64_t>>> {};

TEST_P(StoredWeights, ComputeTheSameForAnyInput) {
  const auto& [input, dims] = GetParam();
  const Model before = exported_layers(input);
  Model after = before;
  EXPECT_EQ(use_stored_weights(after), 3);
  verify(after);
  for (const Node& node : after.graph.nodes) EXPECT_FALSE(node.is("MatMul") || node.is("Transpose"));
  const at::Tensor x = at::randn(dims);
  const at::NoGradGuard no_grad;
  const auto expected = GraphModule(before).forward({x});
  const auto computed = GraphModule(after).forward({x});
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(computed[i].sizes(), expected[i].sizes());
    EXPECT_TRUE(at::allclose(computed[i], expected[i], 1e-4, 1e-5));
  }
  EXPECT_EQ(use_stored_weights(after), 0);
}

using Case = std::pair<std::string, std::vector<int64_t>>;
INSTANTIATE_TEST_SUITE_P(Inputs, StoredWeights,
                         testing::Values(Case{"float[N,6]", {4, 6}}, Case{"float[N,5,6]", {4, 5, 6}},
                                         Case{"float[N,S,6]", {4, 3, 6}},
                                         Case{"float[N,S,T,6]", {2, 3, 4, 6}},
                                         Case{"float[2,3,6]", {2, 3, 6}}));

TEST(StoredWeightsOf, LayersCanBeQuantized) {
  Model model = exported_layers("float[N,S,6]");
  for (const LayerQuantization& layer : prepare_qat(model, {})) EXPECT_TRUE(layer.quantized) << layer.reason;
  EXPECT_TRUE(model.graph.initializer("a.weight"));
}

TEST(StoredWeightsOf, OthersStayAsTheyAre) {
  Model old = exported_layers("float[N,5,6]", "13");
  EXPECT_EQ(use_stored_weights(old), 0);
  Model shown = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[6,6] x) => (float[6,6] y, float[6,6] wt)
    {
      wt = Transpose <perm = [1,0]> (w)
      y = MatMul (x, wt)
    })");
  shown.graph.add_initializer("w", to_constant(at::randn({6, 6})));
  EXPECT_EQ(use_stored_weights(shown), 0);
  Model left = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[6,6] x) => (float[6,6] y)
    {
      wt = Transpose <perm = [1,0]> (w)
      y = MatMul (wt, x)
    })");
  left.graph.add_initializer("w", to_constant(at::randn({6, 6})));
  EXPECT_EQ(use_stored_weights(left), 0);
}

}  // namespace
}  // namespace mc
