#include "mc/rewrite/pass.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/ops/slot.h"
#include "mc/rewrite/passes.h"
#include "tests/base/error_of.h"
#include "tests/ops/interpreter.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Model model_of(const std::string& signature, const std::string& body, int opset = 17) {
  return parse_model(
      fmt::format("<ir_version: 10, opset_import: [\"\" : {}]> g {} {{ {} }}", opset, signature, body));
}

void add(Model& model, const std::string& name, const at::Tensor& value) {
  model.graph.set_initializer(name, to_constant(value));
}

at::Tensor run(const Model& model, const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  return testing::Interpreter(model).run({Slot(input)}).at(0).tensor;
}

std::vector<std::string> operators(const Model& model) {
  std::vector<std::string> names;
  for (const Node& node : model.graph.nodes) names.push_back(node.op_type);
  return names;
}

int apply(Model& model, const std::string& pass) {
  return apply_passes(model, {pass}).at(0).changes;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() ? (a - b).abs().max().item<double>() : INFINITY;
}

void add_norm(Model& model, int64_t channels) {
  add(model, "gamma", at::rand({channels}) + 0.5);
  add(model, "beta", at::randn({channels}));
  add(model, "mean", at::randn({channels}));
  add(model, "var", at::rand({channels}) + 0.1);
}

constexpr const char* kNorm = "[bn] y = BatchNormalization <epsilon = 0.001> (c, gamma, beta, mean, var)";

TEST(Passes, UnknownNamesGetTheNearest) {
  Model model = model_of("(float[2] x) => (float[2] y)", "y = Relu (x)");
  EXPECT_THAT(error_of([&] { apply_passes(model, {"fold_batch_nrom"}); }), HasSubstr("fold_batch_norm"));
  EXPECT_EQ(operators(model).size(), 1u);
}

TEST(Passes, IdleQuantizersLeaveTheirActivation) {
  for (const int opset : {10, 17}) {
    Model model = model_of("(float[2] x) => (float[2] y)",
                           "a = mc.FakeQuantize (x, s, z, l, h, idle, g)"
                           "b = mc.FakeQuantize <activation = \"Relu\"> (a, s, z, l, h, idle, g)"
                           "c = mc.FakeQuantize <activation = \"Clip\", clip_min = 0.5, clip_max = 6.0>"
                           "  (b, s, z, l, h, idle, g)"
                           "y = mc.FakeQuantize (c, s, z, l, h, busy, g)",
                           opset);
    for (const char* state : {"s", "z", "l", "h", "g"}) add(model, state, at::zeros({1}));
    add(model, "idle", at::zeros({2}, at::kLong));
    add(model, "busy", at::ones({2}, at::kLong));
    EXPECT_EQ(drop_idle_quantizers(model), 3);
    EXPECT_THAT(operators(model), ElementsAre("Identity", "Relu", "Clip", "FakeQuantize"));
    model.graph.nodes.back().op_type = "Identity";
    model.graph.nodes.back().domain.clear();
    model.graph.nodes.back().inputs.resize(1);
    EXPECT_TRUE(run(model, at::tensor({-1.F, 7.F})).equal(at::tensor({0.5F, 6.F}))) << opset;
  }
}

TEST(Passes, AddAndItsReluBecomeOne) {
  Model model = model_of("(float[2,3] x) => (float[2,3] y, float[2,3] z, float[2,3] v, float[2,3] u)",
                         "[sum] a = Add (x, c) [act] y = Relu (a)"    // of other shapes, and one node
                         "b = Add (x, x) z = Relu (b) v = Neg (b)"    // read twice
                         "u = Add (x, y) t = Relu (u) s = Neg (t)");  // u is an output
  add(model, "c", at::tensor({-1.F, 0.5F, NAN}));
  const at::Tensor x = at::tensor({0.5F, -3.F, 1.F, INFINITY, 2.F, 0.F}).reshape({2, 3});
  const at::Tensor expected = run(model, x);
  EXPECT_EQ(fuse_add_relu(model), 1);
  EXPECT_THAT(operators(model), ElementsAre("AddRelu", "Add", "Relu", "Neg", "Add"));
  EXPECT_THAT(sources(model.graph.nodes[0]), ElementsAre("sum", "act"));
  verify(model);
  EXPECT_TRUE(at::allclose(run(model, x), expected, 0, 0, /*equal_nan=*/true)) << run(model, x);
}

// In one loop where both lie alike in memory, by ATen otherwise.
TEST(Passes, AddReluIsTheSumsRelu) {
  Model model = model_of("(float[] x) => (float[] y)",
                         "t = Transpose <perm = [0, 2, 3, 1]> (x)"
                         "u = Add (t, k) w = Add (t, u) y = Relu (w)");
  add(model, "k", at::tensor({0.25F}));
  at::manual_seed(5);
  at::Tensor x = at::randn({2, 5, 7, 3});
  x[0][1][2][0] = NAN;
  x[1][4][6][2] = INFINITY;
  for (const at::Tensor& input : {x, x.contiguous(at::MemoryFormat::ChannelsLast), x.narrow(0, 1, 1)}) {
    const at::Tensor t = input.permute({0, 2, 3, 1});
    Model fused = model;
    EXPECT_EQ(fuse_add_relu(fused), 1);
    EXPECT_TRUE(at::allclose(run(fused, input), at::relu(t + (t + 0.25)), 0, 0, /*equal_nan=*/true));
  }
}

TEST(Passes, AreTimedAndVerified) {
  Model model = model_of("(float[2] x) => (float[2] y)", "y = Relu (x)");
  const auto reports = apply_passes(model, inference_passes());
  ASSERT_EQ(reports.size(), inference_passes().size());
  for (const PassReport& report : reports) EXPECT_GE(report.milliseconds, 0) << report.name;
  // A model that is broken afterwards is blamed on the pass.
  model.graph.nodes[0].inputs[0] = "nowhere";
  EXPECT_THAT(error_of([&] { apply_passes(model, {"drop_identity"}); }),
              AllOf(HasSubstr("drop_identity"), HasSubstr("nowhere")));
}

TEST(Sources, Accumulate) {
  Node conv, norm, fused;
  conv.name = "conv";
  norm.name = "bn";
  fused.name = "fused";
  EXPECT_THAT(sources(conv), ElementsAre("conv"));
  add_source(fused, conv);
  add_source(fused, norm);
  add_source(fused, norm);
  EXPECT_THAT(sources(fused), ElementsAre("conv", "bn"));
  Node again;
  add_source(again, fused);
  EXPECT_THAT(sources(again), ElementsAre("conv", "bn"));
  EXPECT_TRUE(sources(Node()).empty());
}

struct FoldCase {
  const char* name;
  const char* node;
  std::vector<int64_t> input, weight;
  int64_t channels;
  bool bias;
  bool ok = true;
};

class FoldBatchNorm : public ::testing::TestWithParam<FoldCase> {};

TEST_P(FoldBatchNorm, KeepsTheFunction) {
  const FoldCase& test = GetParam();
  at::manual_seed(3);
  Model model = model_of("(float[] x) => (float[] y)", std::string(test.node) + kNorm);
  const at::Tensor input = at::randn(test.input);
  model.graph.inputs[0].type = Type::tensor(DType::kFloat, Shape(test.input.begin(), test.input.end()));
  model.graph.outputs[0].type = Type::tensor(DType::kFloat);
  add(model, "w", at::randn(test.weight));
  if (test.bias) add(model, "b", at::randn({test.channels}));
  add_norm(model, test.channels);
  const at::Tensor expected = run(model, input);
  apply_passes(model, {"infer_shapes"});
  EXPECT_EQ(apply(model, "fold_batch_norm"), test.ok ? 1 : 0);
  EXPECT_EQ(model.graph.nodes.size(), test.ok ? 1u : 2u);
  EXPECT_LT(difference(run(model, input), expected), 2e-5);
  EXPECT_EQ(model.graph.nodes.back().outputs[0], "y");
  const auto expected_sources =
      test.ok ? std::vector<std::string>{"layer", "bn"} : std::vector<std::string>{"layer"};
  EXPECT_EQ(sources(model.graph.nodes[0]), expected_sources);
}

INSTANTIATE_TEST_SUITE_P(
    Layers, FoldBatchNorm,
    ::testing::Values(
        FoldCase{
            "conv", "[layer] c = Conv <kernel_shape = [3,3]> (x, w)", {2, 4, 6, 6}, {6, 4, 3, 3}, 6, false},
        FoldCase{
            "conv_bias", "[layer] c = Conv <kernel_shape = [3]> (x, w, b)", {2, 4, 6}, {6, 4, 3}, 6, true},
        FoldCase{"conv_group",
                 "[layer] c = Conv <kernel_shape = [3,3], group = 2> (x, w, b)",
                 {2, 4, 6, 6},
                 {6, 2, 3, 3},
                 6,
                 true},
        FoldCase{"transposed",
                 "[layer] c = ConvTranspose <kernel_shape = [2,2], strides = [2,2]> (x, w, b)",
                 {2, 4, 3, 3},
                 {4, 6, 2, 2},
                 6,
                 true},
        FoldCase{"transposed_group",
                 "[layer] c = ConvTranspose <kernel_shape = [2,2], strides = [2,2], group = 2> (x, w)",
                 {2, 4, 3, 3},
                 {4, 3, 2, 2},
                 6,
                 false},
        FoldCase{"gemm",
                 "[layer] c = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, b)",
                 {3, 4},
                 {6, 4},
                 6,
                 true},
        FoldCase{"gemm_plain", "[layer] c = Gemm (x, w)", {3, 4}, {4, 6}, 6, false},
        FoldCase{"matmul", "[layer] c = MatMul (x, w)", {3, 4}, {4, 6}, 6, false},
        // Channels of the norm are axis 1 here, not the columns of the product.
        FoldCase{"matmul_rank3", "[layer] c = MatMul (x, w)", {3, 6, 4}, {4, 6}, 6, false, false}),
    [](const auto& test) { return test.param.name; });

TEST(FoldBatchNorm, LeavesSharedValues) {
  at::manual_seed(3);
  Model model = model_of("(float[2,4,6,6] x) => (float[2,6,6,6] y, float[2,6,6,6] c)",
                         std::string("c = Conv <kernel_shape = [1,1]> (x, w)") + kNorm);
  add(model, "w", at::randn({6, 4, 1, 1}));
  add_norm(model, 6);
  EXPECT_EQ(apply(model, "fold_batch_norm"), 0);
  EXPECT_EQ(model.graph.nodes.size(), 2u);
}

TEST(FoldBatchNorm, GivesASharedWeightACopy) {
  at::manual_seed(3);
  Model model = model_of("(float[2,4,6,6] x) => (float[2,4,6,6] z)",
                         std::string("c = Conv <kernel_shape = [1,1]> (x, w)") + kNorm +
                             "r = Relu (y) z = Conv <kernel_shape = [1,1]> (r, w)");
  add(model, "w", at::randn({4, 4, 1, 1}));
  add_norm(model, 4);
  const at::Tensor input = at::randn({2, 4, 6, 6}), expected = run(model, input);
  EXPECT_EQ(apply(model, "fold_batch_norm"), 1);
  EXPECT_LT(difference(run(model, input), expected), 2e-5);
}

TEST(FoldConstants, LeavesWhatMayTrain) {
  Model model = model_of("(float[2,2] x) => (float[2,2] y)", R"(
      t = Transpose <perm = [1,0]> (w)
      p = MatMul (x, t)
      four = Constant <value = float {4.0}> ()
      [root] s = Sqrt (four)
      y = Div (p, s))");
  add(model, "w", at::randn({2, 2}));
  Model all = model;
  EXPECT_EQ(apply(model, "fold_constants"), 1);
  EXPECT_THAT(operators(model), ElementsAre("Transpose", "MatMul", "Constant", "Constant", "Div"));
  EXPECT_EQ(model.graph.nodes[3].get_tensor("value")->as_doubles(), std::vector<double>{2});
  EXPECT_THAT(sources(model.graph.nodes[3]), ElementsAre("root"));

  const at::Tensor input = at::randn({2, 2}), expected = run(all, input);
  EXPECT_EQ(apply(all, "fold_weights"), 3);
  EXPECT_THAT(operators(all), ElementsAre("MatMul", "Div"));
  EXPECT_TRUE(all.graph.initializer("t"));
  EXPECT_LT(difference(run(all, input), expected), 1e-6);
}

TEST(FoldConstants, IsBounded) {
  Model model = model_of("(float[n] x) => (float[n] y)", R"(
      shape = Constant <value = int64[3] {100000, 100000, 1000}> ()
      big = ConstantOfShape (shape)
      one = Constant <value = int64[1] {1}> ()
      zero = Constant <value = float[1] {0}> ()
      tiled = Expand (zero, shape)
      i = Constant <value = int64[3] {0, 0, 0}> ()
      a = GatherND (big, i)
      b = GatherND (tiled, i)
      d = Add (a, b)
      y = Add (x, d))");
  apply(model, "fold_weights");
  EXPECT_THAT(operators(model),
              ElementsAre("ConstantOfShape", "Expand", "GatherND", "GatherND", "Add", "Add"));
}

// One size of an open shape is known, and what is computed of it; the batch is not.
TEST(FoldTypes, FoldsArithmeticOnTheKnownPartOfAShape) {
  Model model = model_of("(float[batch,4,6] x) => (float[b,c] y, int64[3] s)", R"(
      s = Shape (x)
      zero = Constant <value = int64[1] {0}> ()
      one = Constant <value = int64[1] {1}> ()
      two = Constant <value = int64[1] {2}> ()
      batch = Gather (s, zero)
      rows = Gather (s, one)
      columns = Gather (s, two)
      size = Mul (rows, columns)
      target = Concat <axis = 0> (batch, size)
      y = Reshape (x, target))");
  Model folded = model;
  apply(folded, "infer_shapes");
  EXPECT_EQ(apply(folded, "fold_types"), 3);
  EXPECT_THAT(operators(folded), ElementsAre("Shape", "Constant", "Constant", "Constant", "Gather",
                                             "Constant", "Constant", "Constant", "Concat", "Reshape"));
  EXPECT_EQ(folded.graph.nodes[7].get_tensor("value")->as_ints(), std::vector<int64_t>{24});
  for (const int64_t batch : {1, 5}) {
    const at::Tensor input = at::randn({batch, 4, 6});
    EXPECT_LT(difference(run(folded, input), run(model, input)), 1e-12);
  }
}

TEST(FoldConstants, LeavesRandomNumbersFailuresOutputsAndDefaults) {
  Model model = model_of("(float[2] x, float[2] d = {1, 2}) => (float[2] y, float[2] z)", R"(
      r = RandomNormal <shape = [2]> ()
      two = Constant <value = float[2] {2, 3}> ()
      five = Constant <value = float[5] {1, 2, 3, 4, 5}> ()
      wrong = Add (two, five)
      twice = Add (d, d)
      z = Add (two, two)
      a = Add (x, r)
      b = Add (a, twice)
      y = Where (c, b, b)
      c = Less (wrong, five))");
  model.graph.sort();
  apply(model, "fold_weights");
  const auto left = operators(model);
  EXPECT_EQ(std::ranges::count(left, "RandomNormal"), 1);
  EXPECT_EQ(std::ranges::count(left, "Constant"), 0);
  EXPECT_EQ(left.size(), 8u);
}

TEST(FoldConstants, KeepsDequantizeOfWeights) {
  Model model = model_of("(float[2,2] x) => (float[2,2] y)", R"(
      f = DequantizeLinear (q, scale)
      y = MatMul (x, f))");
  add(model, "q", at::tensor({1, 2, 3, 4}, at::kChar).view({2, 2}));
  add(model, "scale", at::scalar_tensor(0.5));
  EXPECT_EQ(apply(model, "fold_weights"), 0);
  EXPECT_THAT(operators(model), ElementsAre("DequantizeLinear", "MatMul"));
}

TEST(DropIdentity, KeepsTheLastName) {
  Model model = model_of("(float[2,3] x) => (float[2,3] y)", R"(
      [first] a = Relu (x)
      [copy] b = Identity (a)
      [same] c = Transpose <perm = [0,1]> (b)
      [cast] d = Cast <to = 1> (c)
      [drop] e = Dropout (d)
      shape = Constant <value = int64[2] {0, -1}> ()
      [shape] f = Reshape (e, shape)
      y = Neg (f))");
  apply_passes(model, {"infer_shapes"});
  EXPECT_EQ(apply(model, "drop_identity"), 5);
  apply(model, "drop_unused");
  EXPECT_THAT(operators(model), ElementsAre("Relu", "Neg"));
  EXPECT_EQ(model.graph.nodes[0].outputs[0], "f");
  EXPECT_THAT(sources(model.graph.nodes[0]), ElementsAre("first", "copy", "same", "cast", "drop", "shape"));
  const at::Tensor input = at::randn({2, 3});
  EXPECT_EQ(difference(run(model, input), -at::relu(input)), 0);
}

TEST(DropIdentity, LeavesWhatMatters) {
  Model model =
      model_of("(float[2,3] x) => (float[2,3] y, float[2,3] u, float[3,2] z, double[2,3] v, bool[2,3] m)", R"(
      y = Identity (x)
      a = Relu (x)
      u = Identity (a)
      z = Transpose (a)
      v = Cast <to = 11> (a)
      w, m = Dropout (a)
      shape = Constant <value = int64[2] {3, 2}> ()
      r = Reshape (w, shape)
      t = Neg (r))");
  apply_passes(model, {"infer_shapes"});
  EXPECT_EQ(apply(model, "drop_identity"), 1) << "only the copy of a Relu";
  EXPECT_EQ(model.graph.nodes[0].op_type, "Identity");
  EXPECT_EQ(model.graph.nodes[1].outputs[0], "u");
}

TEST(InferenceForm, TurnsTrainingModeOff) {
  Model model = model_of("(float[4,2,1] x) => (float[4,2,1] y)", R"(
      c, new_mean, new_var = BatchNormalization <training_mode = 1> (x, gamma, beta, mean, var)
      ratio = Constant <value = float {0.5}> ()
      on = Constant <value = bool {1}> ()
      y = Dropout (c, ratio, on))");
  add_norm(model, 2);
  EXPECT_EQ(apply(model, "inference_form"), 2);
  EXPECT_EQ(model.graph.nodes[0].get_int("training_mode", 0), 0);
  EXPECT_THAT(model.graph.nodes[0].outputs, ElementsAre("c"));
  EXPECT_THAT(model.graph.nodes.back().inputs, ElementsAre("c", "ratio"));
  EXPECT_EQ(apply(model, "inference_form"), 0);
}

TEST(InferenceForm, LeavesStatisticsThatAreRead) {
  Model model = model_of("(float[4,2,1] x) => (float[4,2,1] y, float[2] m)",
                         "y, m, v = BatchNormalization <training_mode = 1> (x, gamma, beta, mean, var)");
  add_norm(model, 2);
  EXPECT_EQ(apply(model, "inference_form"), 0);
  EXPECT_EQ(model.graph.nodes[0].outputs.size(), 3u);
}

TEST(FusePad, AddsToThePadsOfTheConvolution) {
  at::manual_seed(5);
  Model model = model_of("(float[1,2,5,5] x) => (float[] y)", R"(
      pads = Constant <value = int64[8] {0, 0, 1, 2, 0, 0, 0, 1}> ()
      [pad] p = Pad (x, pads)
      [conv] y = Conv <kernel_shape = [3,3], pads = [1,0,0,0]> (p, w))");
  model.graph.outputs[0].type = Type::tensor(DType::kFloat);
  add(model, "w", at::randn({3, 2, 3, 3}));
  const at::Tensor input = at::randn({1, 2, 5, 5}), expected = run(model, input);
  EXPECT_EQ(apply(model, "fuse_pad"), 1);
  EXPECT_EQ(model.graph.nodes.back().get_ints("pads"), (std::vector<int64_t>{2, 2, 0, 1}));
  EXPECT_EQ(difference(run(model, input), expected), 0);

  Model reflect = model_of("(float[1,2,5,5] x) => (float[] y)", R"(
      pads = Constant <value = int64[8] {0, 0, 1, 1, 0, 0, 1, 1}> ()
      p = Pad <mode = "reflect"> (x, pads)
      y = Conv <kernel_shape = [3,3]> (p, w))");
  reflect.graph.outputs[0].type = Type::tensor(DType::kFloat);
  add(reflect, "w", at::randn({3, 2, 3, 3}));
  EXPECT_EQ(apply(reflect, "fuse_pad"), 0);
}

TEST(InlineFunctions, RefusesRecursionAndOtherOpsets) {
  constexpr const char* kText = R"(<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
    g (float[2] x) => (float[2] y) {{ [call] y = local.F (x) }}
    <domain: "local", opset_import: ["" : {}, "local" : 1]> F (a) => (b) {{ b = local.F (a) }})";
  Model recursive = parse_model(fmt::format(kText, 17));
  EXPECT_THAT(error_of([&] { apply(recursive, "inline_functions"); }), HasSubstr("calls itself"));
  Model other = parse_model(fmt::format(kText, 13));
  EXPECT_THAT(error_of([&] { apply(other, "inline_functions"); }), AllOf(HasSubstr("13"), HasSubstr("17")));
}

TEST(InlineFunctions, KeepsNamesApartAndRecordsTheCall) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
    g (float[2] x) => (float[2] y) {
      [one] a = local.Scale <by = 2.0> (x)
      [two] y = local.Scale (a)
    }
    <domain: "local", opset_import: ["" : 17]> Scale <by : float = 5.0> (v) => (r) {
      [factor] f = Constant <value_float : float = @by> ()
      [times] r = Mul (v, f)
    })");
  EXPECT_EQ(apply(model, "inline_functions"), 2);
  EXPECT_THAT(operators(model), ElementsAre("Constant", "Mul", "Constant", "Mul"));
  EXPECT_EQ(model.graph.nodes[1].name, "one/times");
  EXPECT_THAT(sources(model.graph.nodes[1]), ElementsAre("one"));
  EXPECT_EQ(difference(run(model, at::ones({2})), at::full({2}, 10.0f)), 0);
}

}  // namespace
}  // namespace mc
