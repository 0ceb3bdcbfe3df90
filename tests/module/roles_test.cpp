#include "mc/module/state.h"

#include <gmock/gmock.h>

#include "tests/base/error_of.h"
#include "tests/module/module_testing.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A graph of opset 17 whose initializers are ones of the given shapes.
Model graph_of(const std::string& signature, const std::string& body,
               const std::vector<std::pair<std::string, std::vector<int64_t>>>& initializers) {
  Model model = parse_model("<ir_version: 10, opset_import: [\"\" : 17]> g " + signature + " {" + body + "}");
  for (const auto& [name, shape] : initializers) testing::add_tensor(model, name, at::ones(shape));
  return model;
}

TEST(Roles, PortsSayWhatTheyAre) {
  Model model = graph_of("(float[n,3,8,8] x) => (float[n,4,8,8] y)", R"(
      c = Conv <kernel_shape = [1,1]> (x, w, b)
      n = BatchNormalization (c, gamma, beta, mean, var)
      y = Mul (n, factor))",
                         {{"w", {4, 3, 1, 1}},
                          {"b", {4}},
                          {"gamma", {4}},
                          {"beta", {4}},
                          {"mean", {4}},
                          {"var", {4}},
                          {"factor", {4, 1, 1}}});
  const Roles roles = assign_roles(model);
  for (const char* name : {"w", "b", "gamma", "beta"}) EXPECT_EQ(roles.of.at(name), Role::kWeight) << name;
  for (const char* name : {"mean", "var"}) EXPECT_EQ(roles.of.at(name), Role::kStatistic) << name;
  EXPECT_EQ(roles.of.at("factor"), Role::kConstant);
  EXPECT_TRUE(roles.untied.empty());
}

TEST(Roles, WeightsAreSeenThroughViews) {
  Model model = graph_of("(float[n,3] x) => (float[n,4] y)", R"(
      t = Transpose <perm = [1,0]> (w)
      y = MatMul (x, t))",
                         {{"w", {4, 3}}});
  EXPECT_EQ(assign_roles(model).of.at("w"), Role::kWeight);
}

TEST(Roles, IntegersNeverTrain) {
  Model model = graph_of("(float[n,6] x) => (float[n,2,3] y)", "y = Reshape (x, shape)", {});
  testing::add_tensor(model, "shape", at::tensor({0, 2, 3}, at::kLong));
  EXPECT_EQ(assign_roles(model).of.at("shape"), Role::kConstant);
}

// LibTorch has no tensor of int4 that the module could keep as state.
TEST(Roles, ZeroPointsOfFewBitsStayConstant) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[2] x) => (float[2] y) <int4[2] q = {1, -2}, float s = {0.5}, int4 z = {1}> {
      d = DequantizeLinear (q, s, z)
      y = Add (x, d)
    })");
  EXPECT_EQ(assign_roles(model).of.at("z"), Role::kConstant);
  EXPECT_EQ(assign_roles(model).of.at("s"), Role::kState);
  GraphModule module(model);
  EXPECT_TRUE(at::equal(module.forward(at::zeros({2})), at::tensor({0.f, -1.5f})));
}

TEST(Roles, BiasesAfterProductsWithWeightsTrain) {
  Model model = graph_of("(float[n,3] x, float[4,4] z) => (float[n,4] y, float[4,4] s)", R"(
      p = MatMul (x, w)
      y = Add (bias, p)
      q = MatMul (z, z)
      scaled = Mul (q, scale)
      s = Add (scaled, attention_mask))",
                         {{"w", {3, 4}}, {"bias", {4}}, {"scale", {}}, {"attention_mask", {4, 4}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.of.at("bias"), Role::kWeight);
  EXPECT_EQ(roles.of.at("scale"), Role::kConstant);
  EXPECT_EQ(roles.of.at("attention_mask"), Role::kConstant);
}

TEST(Roles, DecomposedLayerNormTrains) {
  for (const bool reciprocal : {false, true}) {
    Model model = graph_of("(float[n,4] x) => (float[n,4] y)",
                           std::string(R"(
      m = ReduceMean <axes = [-1]> (x)
      d = Sub (x, m)
      two = Constant <value = float {2.0}> ()
      sq = Pow (d, two)
      v = ReduceMean <axes = [-1]> (sq)
      ve = Add (v, eps)
      s = Sqrt (ve))") + (reciprocal ? "r = Reciprocal (s) h = Mul (d, r)" : "h = Div (d, s)") +
                               "g = Mul (h, gamma) y = Add (g, beta)",
                           {{"eps", {}}, {"gamma", {4}}, {"beta", {4}}});
    const Roles roles = assign_roles(model);
    EXPECT_EQ(roles.of.at("gamma"), Role::kWeight);
    EXPECT_EQ(roles.of.at("beta"), Role::kWeight);
    EXPECT_EQ(roles.of.at("eps"), Role::kConstant);
  }
}

TEST(Roles, ClassTokensAndPositionEmbeddingsTrain) {
  Model model = graph_of("(float[n,3,8,8] x, int64[3] batch) => (float[n,5,4] y)", R"(
      c = Conv <kernel_shape = [4,4], strides = [4,4]> (x, w)
      r = Reshape (c, shape)
      t = Transpose <perm = [0,2,1]> (r)
      e = Expand (token, batch)
      s = Concat <axis = 1> (e, t)
      y = Add (s, position))",
                         {{"w", {4, 3, 4, 4}}, {"token", {1, 1, 4}}, {"position", {1, 5, 4}}});
  testing::add_tensor(model, "shape", at::tensor({0, 4, -1}, at::kLong));
  const Roles roles = assign_roles(model);
  for (const char* name : {"w", "token", "position"}) EXPECT_EQ(roles.of.at(name), Role::kWeight) << name;
}

TEST(Roles, CoordinateChannelsAndGridsStayConstant) {
  Model model = graph_of("(float[n,3,8,8] x) => (float[n,6,8,8] y, float[n,4,8,8] z)", R"(
      c = Conv <kernel_shape = [1,1]> (x, w)
      y = Concat <axis = 1> (c, coordinates)
      s = Sigmoid (c)
      z = Add (s, grid))",
                         {{"w", {4, 3, 1, 1}}, {"coordinates", {1, 2, 8, 8}}, {"grid", {1, 4, 8, 8}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.of.at("coordinates"), Role::kConstant);
  EXPECT_EQ(roles.of.at("grid"), Role::kConstant);
}

TEST(Roles, EmbeddingsAndWhatIsAddedToThemTrain) {
  Model model = graph_of("(int64[n,5] ids) => (float[n,5,4] y)", R"(
      e = Gather (table, ids)
      y = Add (e, position))",
                         {{"table", {10, 4}}, {"position", {1, 5, 4}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.of.at("table"), Role::kWeight);
  EXPECT_EQ(roles.of.at("position"), Role::kWeight);
}

TEST(Roles, OverridesWinOverMetadataWhichWinsOverRules) {
  Model model = graph_of("(float[n,3] x) => (float[n,2] y)", R"(
      a = MatMul (x, "first.w")
      b = MatMul (a, "second.w")
      y = Mul (b, gain))",
                         {{"first.w", {3, 2}}, {"second.w", {2, 2}}, {"gain", {2}}});
  set_metadata(model.graph.initializer("second.w")->tensor.metadata, kRole, "constant");
  set_metadata(model.graph.initializer("gain")->tensor.metadata, kRole, "weight");
  Model copy = model;
  const Roles written = assign_roles(copy);
  EXPECT_EQ(written.of.at("first.w"), Role::kWeight);
  EXPECT_EQ(written.of.at("second.w"), Role::kConstant);
  EXPECT_EQ(written.of.at("gain"), Role::kWeight);
  const Roles asked = assign_roles(model, {{"*.w", Role::kConstant}, {"second.*", Role::kWeight}});
  EXPECT_EQ(asked.of.at("first.w"), Role::kConstant);
  EXPECT_EQ(asked.of.at("second.w"), Role::kWeight);

  set_metadata(model.graph.initializer("gain")->tensor.metadata, kRole, "wait");
  EXPECT_THAT(error_of([&] { assign_roles(model); }), AllOf(HasSubstr("gain"), HasSubstr("wait")));
  testing::add_tensor(model, "gain", at::tensor({1, 2}, at::kLong));
  EXPECT_THAT(error_of([&] { assign_roles(model, {{"gain", Role::kWeight}}); }), HasSubstr("gain"));
}

// What the TorchScript exporter writes for a fresh network: equal tensors are one, the rest Identity copies.
TEST(Roles, IdentityCopiesOfEqualTensorsAreUntied) {
  Model model =
      graph_of("(float[n,3,8,8] x) => (float[n,3,8,8] y)", R"(
      "4.weight" = Identity ("1.weight")
      "4.running_var" = Identity ("1.weight")
      "1.running_var" = Identity ("1.weight")
      "4.bias" = Identity ("1.bias")
      a = BatchNormalization (x, "1.weight", "1.bias", "1.running_mean", "1.running_var")
      y = BatchNormalization (a, "4.weight", "4.bias", "4.running_mean", "4.running_var"))",
               {{"1.weight", {3}}, {"1.bias", {3}}, {"1.running_mean", {3}}, {"4.running_mean", {3}}});
  GraphModule module(model);
  EXPECT_EQ(module.roles().untied.size(), 4u);
  for (const char* name : {"1.weight", "4.weight", "1.bias", "4.bias"})
    EXPECT_EQ(module.role(name), Role::kWeight);
  for (const char* name : {"1.running_var", "4.running_var"})
    EXPECT_EQ(module.role(name), Role::kStatistic) << name;
  EXPECT_EQ(module.structure().graph.nodes.size(), 2u);
  at::manual_seed(0);
  module.forward(at::randn({4, 3, 8, 8}) * 3);
  EXPECT_EQ(testing::difference(module.tensor("1.weight"), at::ones({3})), 0)
      << "statistics moved, weights did not";
  EXPECT_GT(testing::difference(module.tensor("1.running_var"), at::ones({3})), 0.1);
  EXPECT_FALSE(module.tensor("1.weight").is_same(module.tensor("4.weight")));
  for (const auto& untied : module.roles().untied) EXPECT_FALSE(untied.why.empty());
}

TEST(Roles, CopiesOfACopyAreUntiedToo) {
  Model model = graph_of("(float[n,2] x) => (float[n,2] y)", R"(
      b = Identity (a)
      c = Identity (b)
      p = MatMul (x, a)
      q = MatMul (p, b)
      y = MatMul (q, c))",
                         {{"a", {2, 2}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.untied.size(), 2u);
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(roles.of.at(name), Role::kWeight) << name;
}

TEST(Roles, OneInitializerReadByTwoPortsStaysTied) {
  Model model =
      graph_of("(float[n,2] x) => (float[n,2] y)", "p = MatMul (x, w) y = MatMul (p, w)", {{"w", {2, 2}}});
  GraphModule module(model);
  EXPECT_TRUE(module.roles().untied.empty());
  EXPECT_EQ(module.parameters().size(), 1u);
}

TEST(Roles, AWeightThatIsAlsoAStatisticBecomesTwo) {
  Model model = graph_of("(float[n,3,8,8] x) => (float[n,3,8,8] y)",
                         "y = BatchNormalization (x, one, zero, zero, one)", {{"one", {3}}, {"zero", {3}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.of.at("one"), Role::kWeight);
  EXPECT_EQ(roles.of.at("one.statistic"), Role::kStatistic);
  EXPECT_EQ(roles.of.at("zero.statistic"), Role::kStatistic);
  EXPECT_EQ(model.graph.nodes[0].inputs[4], "one.statistic");
}

TEST(Roles, MasksWithoutParameterAreDropped) {
  Model model = graph_of("(float[n,2] x) => (float[n,2] y)", "y = MatMul (x, w)", {{"w", {2, 2}}});
  Tensor mask = to_constant(at::ones({2, 2}, at::kBool));
  set_metadata(mask.metadata, kMaskOf, "gone");
  model.graph.add_initializer("gone.mask", mask);
  GraphModule module(model);
  EXPECT_TRUE(module.masked().empty());
  set_metadata(mask.metadata, kMaskOf, "w");
  mask.dims = {4};
  model.graph.set_initializer("gone.mask", mask);
  EXPECT_THAT(error_of([&] { GraphModule broken(model); }), AllOf(HasSubstr("gone.mask"), HasSubstr("'w'")));
}

TEST(Roles, LayerScaleTrainsAndOtherFactorsDoNot) {
  Model model = graph_of("(float[n,5,3] x) => (float[n,5,4] a, float[n,5,4] b, float[n,5,4] c)", R"(
      t = Transpose <perm = [1,0]> (w)
      p = MatMul (x, t)
      q = Add (p, bias)
      a = Mul (scale, q)
      b = Mul (q, table)
      c = Mul (q, half))",
                         {{"w", {4, 3}}, {"bias", {4}}, {"scale", {4}}, {"table", {5, 4}}, {"half", {1}}});
  const Roles roles = assign_roles(model);
  for (const char* name : {"w", "bias", "scale"}) EXPECT_EQ(roles.of.at(name), Role::kWeight) << name;
  for (const char* name : {"table", "half"}) EXPECT_EQ(roles.of.at(name), Role::kConstant) << name;
}

TEST(Roles, SingleNumbersTrainOnlyBehindOneChannel) {
  Model model = graph_of("(float[n,5,3] x) => (float[n,5,1] a, float[n,5,4] b)", R"(
      p = MatMul (x, narrow)
      a = Add (p, bias)
      q = MatMul (x, wide)
      b = Add (q, three))",
                         {{"narrow", {3, 1}}, {"bias", {1}}, {"wide", {3, 4}}, {"three", {1}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.of.at("bias"), Role::kWeight);
  EXPECT_EQ(roles.of.at("three"), Role::kConstant);
}

// As PyTorch writes an LSTM: gates in another order, both directions in one tensor.
TEST(Roles, WeightsAreSeenThroughSliceAndConcatOfInitializers) {
  Model model = graph_of("(float[n,3] x, float[n,2] z) => (float[n,4] y, float[n,6] both)", R"(
      axis = Constant <value = int64[1] {0}> ()
      zero = Constant <value = int64[1] {0}> ()
      two = Constant <value = int64[1] {2}> ()
      four = Constant <value = int64[1] {4}> ()
      first = Slice (w, zero, two, axis)
      last = Slice (w, two, four, axis)
      turned = Concat <axis = 0> (last, first)
      t = Transpose <perm = [1,0]> (turned)
      y = MatMul (x, t)
      both = Concat <axis = 1> (y, grid))",
                         {{"w", {4, 3}}, {"grid", {1, 2, 1, 1}}});
  const Roles roles = assign_roles(model);
  EXPECT_EQ(roles.of.at("w"), Role::kWeight);
  EXPECT_EQ(roles.of.at("grid"), Role::kConstant);
}

TEST(Roles, WeightsInConstantNodesAreLifted) {
  Model model = graph_of("(float[1,2] x) => (float[1,2] y, float[1,2] z)", R"(
      w = Constant <value = float[2,2] {1, 2, 3, 4}> ()
      b = Constant <value = float[2] {5, 6}> ()
      table = Constant <value = float[1,1,2] {7, 8}> ()
      three = Constant <value = float[1] {3}> ()
      p = MatMul (x, w)
      y = Add (p, b)
      shifted = Add (y, three)
      z = Add (x, table))",
                         {});
  const GraphModule module(model);
  EXPECT_THAT(module.names(Role::kWeight), ::testing::UnorderedElementsAre("w", "b"));
  GraphModule trained(model);
  const at::Tensor x = at::ones({1, 2});
  EXPECT_TRUE(at::equal(trained.forward(x), at::tensor({1 + 3 + 5.0f, 2 + 4 + 6.0f}).view({1, 2})));
  Model lifted = model;
  EXPECT_EQ(lift_constants(lifted), 2);
  EXPECT_EQ(lift_constants(lifted), 0);
  EXPECT_EQ(lifted.graph.initializer("w")->tensor.as_doubles(), (std::vector<double>{1, 2, 3, 4}));
}

}  // namespace
}  // namespace mc
