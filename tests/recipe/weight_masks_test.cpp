#include "mc/recipe/weight_masks.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "mc/recipe/imported.h"

namespace mc {
namespace {

Model masked_linear(const std::string& body, const std::vector<float>& mask) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3] x) => (float[N,2] y) {)" +
                            body + "}");
  const std::vector<float> weight = {1, -2, 3, -4, 5, -6};
  model.graph.add_initializer("w_orig", Tensor::floats({3, 2}, weight));
  model.graph.add_initializer("w_mask", Tensor::floats({3, 2}, mask));
  return model;
}

const std::vector<float> kHalf = {1, 0, 0, 1, 1, 0};

// With the products that a file holds, on the same inputs.
void expect_same_function(const Model& before, const Model& after) {
  at::manual_seed(1);
  const std::vector<at::Tensor> inputs = {at::randn({4, 3})};
  GraphModule one(before), other(after);
  one.eval();
  other.eval();
  EXPECT_TRUE(at::equal(one.forward(inputs)[0], other.forward(inputs)[0]));
}

TEST(TakeWeightMasks, AMaskedProductBecomesOneParameterWithItsMask) {
  for (const char* body :
       {"w = Mul (w_mask, w_orig) y = MatMul (x, w)", "w = Mul (w_orig, w_mask) y = MatMul (x, w)",
        "m = Cast <to = 1> (w_mask) w = Mul (m, w_orig) y = MatMul (x, w)",
        "w = Mul (w_orig, w_mask) a = MatMul (x, w) v = Mul (w_orig, w_mask) b = MatMul (x, v) "
        "y = Add (a, b)"}) {
    const Model before = masked_linear(body, kHalf);
    Model model = before;
    EXPECT_EQ(take_weight_masks(model), 1) << body;
    tidy_import(model);
    verify(model);
    expect_same_function(before, model);
    GraphModule module(model);
    const std::vector<std::string> weights = module.names(Role::kWeight);
    ASSERT_EQ(weights.size(), 1U) << body;
    EXPECT_EQ(module.masked(), weights);
    EXPECT_TRUE(at::equal(module.mask(weights[0]), module.tensor(weights[0]).ne(0)));
  }
}

// A convolution without bias gets one of zeros, shaped by its weight.
TEST(TakeWeightMasks, TheShapeOfTheProductMayBeAskedFor) {
  Model model = masked_linear(
      "p = Mul (w_mask, w_orig) s = Shape <start = 1> (p) z = ConstantOfShape (s) "
      "y = Gemm (x, p, z)",
      kHalf);
  tidy_import(model);
  EXPECT_EQ(GraphModule(model).masked(), std::vector<std::string>{"w"});
}

TEST(TakeWeightMasks, TheParameterIsCalledAsInTheModuleWhereItCanBe) {
  Model model = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", kHalf);
  take_weight_masks(model);
  EXPECT_NE(model.graph.initializer("w"), nullptr);
  Model taken = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", kHalf);
  taken.graph.add_initializer("w", Tensor::scalar(1));
  take_weight_masks(taken);
  EXPECT_EQ(taken.graph.initializer("w")->tensor.dims.size(), 0U);
  EXPECT_EQ(GraphModule(taken).masked().size(), 1U);
}

TEST(TakeWeightMasks, AMaskOfOnesOnlyGoesAway) {
  Model model = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", {1, 1, 1, 1, 1, 1});
  EXPECT_EQ(take_weight_masks(model), 0);
  EXPECT_EQ(model.graph.nodes.size(), 1U);
  GraphModule module(model);
  EXPECT_EQ(module.names(Role::kWeight), std::vector<std::string>{"w"});
  EXPECT_TRUE(module.masked().empty());
}

TEST(TakeWeightMasks, OtherProductsStayAsTheyAre) {
  // No mask; of another shape; read by the caller; what a caller may feed.
  Model scaled = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", {1, 0, 0.5F, 1, 1, 0});
  EXPECT_EQ(take_weight_masks(scaled), 0);
  EXPECT_EQ(scaled.graph.nodes.size(), 2U);
  Model shown = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", kHalf);
  shown.graph.outputs.push_back(shown.graph.outputs[0]);
  shown.graph.outputs.back().name = "p";
  EXPECT_EQ(take_weight_masks(shown), 0);
  EXPECT_EQ(shown.graph.nodes.size(), 2U);
  Model fed = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", kHalf);
  fed.graph.inputs.push_back(fed.graph.inputs[0]);
  fed.graph.inputs.back().name = "w_mask";
  EXPECT_EQ(take_weight_masks(fed), 0);
  Model other = masked_linear("p = Mul (row, w_orig) y = MatMul (x, p)", kHalf);
  other.graph.add_initializer("row", Tensor::floats({2}, std::vector<float>{1, 0}));
  EXPECT_EQ(take_weight_masks(other), 0);
  // What no layer reads as its weight is computed, and has no mask.
  Model constant =
      masked_linear("p = Mul (w_mask, w_orig) s = ReduceMax <keepdims = 0> (p) y = Add (x, s)", kHalf);
  EXPECT_EQ(take_weight_masks(constant), 0);
  EXPECT_TRUE(GraphModule(constant).masked().empty());
}

TEST(TakeWeightMasks, WhatIsMaskedIsZeroWhateverStoodThere) {
  Model model = masked_linear("p = Mul (w_mask, w_orig) y = MatMul (x, p)", kHalf);
  model.graph.set_initializer("w_orig",
                              Tensor::floats({3, 2}, std::vector<float>{1, NAN, -INFINITY, 1, 1, -1}));
  EXPECT_EQ(take_weight_masks(model), 1);
  const at::Tensor weight = to_aten(model.graph.initializer("w")->tensor, true);
  EXPECT_EQ(weight.eq(0).sum().item<int64_t>(), 3);
  EXPECT_EQ(zeros_without_mask(model), 0);
  drop_weight_masks(model.graph);
  EXPECT_DOUBLE_EQ(zeros_without_mask(model), 0.5);
  EXPECT_TRUE(GraphModule(model).masked().empty());
}

}  // namespace
}  // namespace mc
