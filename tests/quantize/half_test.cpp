#include "mc/quantize/half.h"

#include <algorithm>
#include <limits>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "mc/quantize/float8.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

Model branching_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,8] x, bool flag) => (float[N,4] y, float[N,8] h, int64[2] s)
    {
      [scale] h = Mul (x, factor)
      [soft] p = Softmax (h)
      [mean] m = ReduceMean <axes = [1]> (p)
      [eps] e = Add (m, epsilon)
      [norm] n = Div (p, e)
      [choose] b = If (flag) <
        then_branch = yes () => (float[N,8] t) { [in_then] t = Mul (n, h) },
        else_branch = no () => (float[N,8] o) { c = Constant <value_float = 2.0> ()
          [in_else] o = Add (n, c) }
      >
      [fc] y = MatMul (b, weight)
      [shape] s = Shape (y)
    })");
  at::manual_seed(5);
  model.graph.add_initializer("factor", to_constant(at::full({1}, 1.5F)));
  model.graph.add_initializer("epsilon", Tensor::scalar(1e-12F));
  model.graph.add_initializer("weight", to_constant(at::randn({8, 4})));
  return model;
}

std::vector<at::Tensor> run_branch(const Model& model, const at::Tensor& x, bool flag) {
  const at::NoGradGuard no_grad;
  GraphModule module(model);
  module.eval();
  return module.forward({x, at::scalar_tensor(flag, at::kBool)});
}

int64_t casts_in(const Model& model) {
  int64_t casts = 0;
  for_each_graph(model.graph, [&](const Graph& graph) {
    casts += std::ranges::count_if(graph.nodes, [](const Node& node) { return node.is("Cast"); });
  });
  return casts;
}

template <class Body>
std::string half_error(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Half, ComputesTheSameInSixteenBits) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({3, 8});
  for (const DType type : {DType::kFloat16, DType::kBFloat16}) {
    for (const bool convert_io : {false, true}) {
      const HalfModel result = convert_to_half(branching_net(), {.type = type, .convert_io = convert_io});
      verify(result.model);
      const at::ScalarType io = convert_io ? to_scalar_type(type) : at::kFloat;
      const double tolerance = type == DType::kFloat16 ? 5e-3 : 4e-2;
      EXPECT_EQ(result.model.graph.initializer("weight"), nullptr);
      for (const bool flag : {false, true}) {
        const auto expected = run_branch(branching_net(), x, flag);
        const auto actual = run_branch(result.model, x.to(io), flag);
        for (size_t i = 0; i < 2; ++i) {
          EXPECT_EQ(actual[i].scalar_type(), io);
          EXPECT_TRUE(actual[i].to(at::kFloat).allclose(expected[i], tolerance, tolerance)) << i << flag;
          EXPECT_EQ(result.model.graph.outputs[i].name, i == 0 ? "y" : "h");
        }
        EXPECT_TRUE(actual[2].equal(expected[2]));
      }
    }
  }
}

TEST(Half, CastsOnlyWhereTypesMeet) {
  // x in, h and y out, and around ReduceMean.
  EXPECT_EQ(casts_in(convert_to_half(branching_net()).model), 5);
  EXPECT_EQ(casts_in(convert_to_half(branching_net(), {.convert_io = true}).model), 2);
  const HalfModel kept = convert_to_half(branching_net(), {.keep_float = {"choose", "in_*"}});
  for (const LayerQuantization& layer : kept.layers) {
    if (layer.node.starts_with("in_")) {
      EXPECT_FALSE(layer.quantized);
    }
  }
  const at::Tensor x = at::ones({2, 8});
  EXPECT_TRUE(
      run_branch(kept.model, x, false)[0].allclose(run_branch(branching_net(), x, false)[0], 1e-2, 1e-2));
}

TEST(Half, SaysWhyOperatorsStayFloat) {
  const HalfModel result = convert_to_half(branching_net());
  const auto mean =
      std::ranges::find_if(result.layers, [](const LayerQuantization& l) { return l.node == "mean"; });
  ASSERT_NE(mean, result.layers.end());
  EXPECT_FALSE(mean->quantized);
  EXPECT_THAT(mean->reason, HasSubstr("sums"));
}

TEST(Half, ClampsConstantsAndReportsThem) {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3] x) => (float[N,3] y) { a = Add (x, big) b = Mul (a, tiny) y = Max (b, endless) })");
  const float infinity = std::numeric_limits<float>::infinity();
  model.graph.add_initializer("big", to_constant(at::tensor({1e6F, -3.4e38F, 7.0F})));
  model.graph.add_initializer("tiny", Tensor::scalar(-1e-12F));
  model.graph.add_initializer("endless", to_constant(at::full({1}, -infinity)));
  const HalfModel result = convert_to_half(model);
  ASSERT_EQ(result.clamped.size(), 1u);
  EXPECT_EQ(result.clamped[0].name, "big");
  EXPECT_EQ(result.clamped[0].elements, 2);
  const auto values = [&](const std::string& name) {
    return to_aten(result.model.graph.initializer(name + "_float16")->tensor, false).to(at::kFloat);
  };
  EXPECT_TRUE(values("big").equal(at::tensor({65504.0F, -65504.0F, 7.0F})));
  EXPECT_LT(values("tiny").item<float>(), 0);
  EXPECT_EQ(values("endless").item<float>(), -infinity);
  // The largest bfloat16 is 3.39e38.
  const HalfModel wide = convert_to_half(model, {.type = DType::kBFloat16});
  ASSERT_EQ(wide.clamped.size(), 1u);
  EXPECT_EQ(wide.clamped[0].elements, 1);
}

TEST(Half, DropsCastsThatBecameIdentities) {
  const Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (int64[N] i, float[N] x) => (float[N] y)
    { f = Cast <to = 1> (i) h = Cast <to = 10> (x) g = Cast <to = 1> (h) y = Add (f, g) })");
  const HalfModel result = convert_to_half(model);
  EXPECT_EQ(casts_in(result.model), 3);  // i, x, and y
  GraphModule module(result.model);
  const at::Tensor y = module.forward({at::tensor({1, 2}, at::kLong), at::tensor({0.5F, 1.5F})})[0];
  EXPECT_TRUE(y.equal(at::tensor({1.5F, 3.5F})));
}

TEST(Half, RefusesWhatItCannotDo) {
  EXPECT_THAT(half_error([] { convert_to_half(branching_net(), {.type = DType::kInt8}); }),
              HasSubstr("int8"));
  EXPECT_THAT(half_error([] { convert_to_half(branching_net(), {.keep_float = {"zzz"}}); }),
              HasSubstr("zzz"));
  const Model whole = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]> net (int64[N] x) => (int64[N] y) { y = Abs (x) })");
  EXPECT_THAT(half_error([&] { convert_to_half(whole); }), HasSubstr("no float32"));
}

Model small_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8,8] x) => (float[N,5] y)
    {
      [conv] c = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "conv.weight", "conv.bias")
      [relu] r = Relu (c)
      [pool] p = GlobalAveragePool (r)
      [flatten] f = Flatten (p)
      [fc] y = Gemm <transB = 1> (f, "fc.weight")
    })");
  at::manual_seed(7);
  model.graph.add_initializer("conv.weight", to_constant(at::randn({6, 3, 3, 3})));
  model.graph.add_initializer("conv.bias", to_constant(at::randn({6})));
  model.graph.add_initializer("fc.weight", to_constant(at::randn({5, 6})));
  return model;
}

TEST(Float8, RoundsToEightBitsWithinTheRange) {
  const auto data = random_dataset(16, {{"x", at::kFloat, {3, 8, 8}}}, 9);
  const QuantizedModel result = quantize_float8(small_net(), data, {}, {});
  EXPECT_EQ(result.samples, 16);
  EXPECT_GE(result.model.opset(), 19);
  verify(result.model);
  const Batch batch = all(*data);
  const at::NoGradGuard no_grad;
  GraphModule quantized(result.model);
  const at::Tensor expected = GraphModule(small_net()).forward(batch.inputs)[0];
  const at::Tensor actual = quantized.forward(batch.inputs)[0];
  const double error = ((actual - expected).norm() / expected.norm()).item<double>();
  EXPECT_LT(error, 0.1);
  EXPECT_GT(error, 0);
  // The largest input is the largest number of the type.
  EXPECT_NEAR(quantized.tensor("x_scale").item<double>() * 448, batch.inputs[0].abs().max().item<double>(),
              1e-5);
  int64_t codes = 0;
  for (const Initializer& initializer : result.model.graph.initializers()) {
    codes += initializer.tensor.dtype == DType::kFloat8E4M3FN && initializer.tensor.dims.size() > 1;
  }
  EXPECT_EQ(codes, 2);
}

TEST(Float8, RefusesWhatItCannotDo) {
  const auto data = random_dataset(4, {{"x", at::kFloat, {3, 8, 8}}}, 9);
  QuantizeOptions options;
  options.calibrator = "entropy";
  EXPECT_THAT(half_error([&] { quantize_float8(small_net(), data, {}, options); }), HasSubstr("equal steps"));
  options.calibrator = "min_max";
  options.keep_float = {"*"};
  EXPECT_THAT(half_error([&] { quantize_float8(small_net(), data, {}, options); }), HasSubstr("no layer"));
}

}  // namespace
}  // namespace mc
