#include "mc/quantize/weight_only.h"

#include <set>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "mc/quantize/awq_absorb.h"
#include "mc/quantize/dynamic.h"
#include "mc/quantize/weight_methods.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr int64_t kWidth = 40;  // no multiple of the block
const std::vector<std::string> kLayers = {"up", "gate", "down"};

// Pre-norm, so that a norm feeds only the two products behind it; an embedding before, a Gemm at the end.
Model text_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (int64[N,S] ids) => (float[N,S,40] y)
    {
      [words] e = Gather (table, ids)
      [norm] n = LayerNormalization (e, "norm.weight", "norm.bias")
      [up] u = MatMul (n, "up.weight")
      [gate] g = MatMul (n, "gate.weight")
      [act] a = Sigmoid (g)
      [product] p = Mul (u, a)
      shape = Constant <value = int64[2] {-1, 64}> ()
      [flat] f = Reshape (p, shape)
      [down] d = Gemm <transB = 1> (f, "down.weight", "down.bias")
      [back] b = Reshape (d, back_shape)
      [residual] y = Add (b, e)
    })");
  at::manual_seed(3);
  const auto add = [&](const std::string& name, const at::Tensor& values) {
    model.graph.add_initializer(name, to_constant(values.contiguous()));
  };
  add("table", at::randn({30, kWidth}) * at::randn({kWidth}).exp());
  add("norm.weight", at::rand({kWidth}) * 3 + 0.1);
  add("norm.bias", at::randn({kWidth}) * 0.2);
  add("up.weight", at::randn({kWidth, 64}) * 0.1);
  add("gate.weight", at::randn({kWidth, 64}) * 0.1);
  add("down.weight", at::randn({kWidth, 64}) * 0.1);
  add("down.bias", at::randn({kWidth}) * 0.1);
  add("back_shape", at::tensor({-1, 6, 40}, at::kLong));
  return model;
}

class Sentences : public Dataset {
 public:
  int64_t size() const override { return 24; }
  std::vector<FieldInfo> fields() const override { return {{"ids", at::kLong, {6}}}; }
  bool labelled() const override { return false; }
  int64_t classes() const override { return 0; }
  std::string description() const override { return "24 sentences"; }
  Batch get(std::span<const int64_t> indices) const override {
    Batch batch;
    std::vector<at::Tensor> rows;
    for (const int64_t i : indices) rows.push_back((at::arange(6) * 5 + i * 7).remainder(30).to(at::kLong));
    batch.inputs = {at::stack(rows)};
    batch.indices.assign(indices.begin(), indices.end());
    return batch;
  }
};

std::shared_ptr<const Dataset> sentences() {
  return std::make_shared<Sentences>();
}

at::Tensor run(const Model& model) {
  const at::NoGradGuard no_grad;
  GraphModule module(model);
  module.eval();
  const std::vector<int64_t> indices = {1, 3, 8, 20};
  return module.forward(sentences()->get(indices).inputs)[0];
}

std::set<std::string> operator_set(const Model& model) {
  std::set<std::string> types;
  for (const Node& node : model.graph.nodes) types.insert(node.op_type);
  return types;
}

template <class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// The model with its matrices replaced by what the integers stand for.
Model dequantized_by_hand(const BlockGrid& grid, bool embeddings) {
  Model model = text_net();
  for (const std::string& layer : kLayers) {
    const std::string name = layer + ".weight";
    const at::Tensor stored = to_aten(model.graph.initializer(name)->tensor, false);
    const at::Tensor weight = layer == "down" ? stored : stored.t().contiguous();
    const at::Tensor values = dequantize_blocks(quantize_rtn(weight, grid), grid);
    model.graph.set_initializer(name, to_constant((layer == "down" ? values : values.t()).contiguous()));
  }
  if (embeddings) {
    const at::Tensor table = to_aten(model.graph.initializer("table")->tensor, false);
    model.graph.set_initializer("table", to_constant(dequantize_blocks(quantize_rtn(table, grid), grid)));
  }
  return model;
}

TEST(WeightOnly, BothFormatsComputeWithTheSameIntegers) {
  for (const int64_t bits : {4, 8}) {
    for (const bool symmetric : {false, true}) {
      for (const bool embeddings : {false, true}) {
        const at::Tensor expected = run(dequantized_by_hand({bits, 16, symmetric}, embeddings));
        for (const char* format : {"dequantize", "matmul_nbits"}) {
          const WeightOnlyModel result = quantize_weights(text_net(), nullptr, {},
                                                          {.format = format,
                                                           .bits = bits,
                                                           .block = 16,
                                                           .symmetric = symmetric,
                                                           .embeddings = embeddings});
          EXPECT_TRUE(run(result.model).allclose(expected, 1e-4, 1e-5)) << format << bits << symmetric;
          verify(result.model);
          EXPECT_EQ(result.layers.size(), embeddings ? 4u : 3u);
        }
      }
    }
  }
}

TEST(WeightOnly, TheTargetChoosesTheFormat) {
  const Model runtime = quantize_weights(text_net(), nullptr, {}, {.target = "onnxruntime"}).model;
  EXPECT_THAT(operator_set(runtime), Contains("MatMulNBits"));
  EXPECT_EQ(operator_set(runtime).count("MatMul") + operator_set(runtime).count("Gemm"), 0u);
  EXPECT_EQ(runtime.opset(), 17);
  EXPECT_EQ(runtime.opset("com.microsoft"), 1);
  for (const char* target : {"openvino", "tensorrt"}) {
    const Model model = quantize_weights(text_net(), nullptr, {}, {.target = target}).model;
    EXPECT_THAT(operator_set(model), Contains("DequantizeLinear"));
    EXPECT_GE(model.opset(), 21);
    for (const Node& node : model.graph.nodes) {
      if (!node.is("DequantizeLinear")) continue;
      EXPECT_EQ(node.inputs.size(), target == std::string("openvino") ? 3u : 2u);
    }
  }
}

TEST(WeightOnly, MethodsThatSeeSamplesAreCloserToTheModel) {
  const at::Tensor expected = run(text_net());
  const auto error = [&](const WeightOnlyOptions& options) {
    const WeightOnlyModel result = quantize_weights(text_net(), sentences(), {}, options);
    EXPECT_EQ(result.samples, weight_method_needs_data(options.method) ? 24 : 0);
    return (run(result.model) - expected).square().mean().item<double>();
  };
  const double plain = error({.method = "rtn"});
  EXPECT_GT(plain, 0);
  EXPECT_LT(error({.method = "gptq"}), 0.8 * plain);
  EXPECT_LT(error({.method = "gptq", .act_order = true}), 0.8 * plain);
  EXPECT_LT(error({.method = "awq"}), plain);
  EXPECT_LT(error({.method = "hqq"}), plain);
}

TEST(WeightOnly, OnePassForEachHessianGivesTheSame) {
  const Model at_once = quantize_weights(text_net(), sentences(), {}, {.method = "gptq"}).model;
  const Model in_turn =
      quantize_weights(text_net(), sentences(), {}, {.method = "gptq", .hessian_bytes = 1}).model;
  EXPECT_TRUE(at_once == in_turn);
}

TEST(WeightOnly, FactorsGoIntoTheNormOrBeforeTheLayer) {
  const Model model = quantize_weights(text_net(), sentences(), {}, {.method = "awq", .bits = 8}).model;
  std::vector<std::string> products;
  for (const Node& node : model.graph.nodes) {
    if (node.op_type == "Mul") products.push_back(node.name);
    // Only the two layers read it, so that it took the factors in.
    if (node.op_type != "LayerNormalization") continue;
    EXPECT_EQ(node.inputs[1], "norm.weight_scaled");
  }
  // The product with the gate has no constant to take them in.
  EXPECT_THAT(products, ::testing::UnorderedElementsAre("product", "f_scaled/Mul"));
  EXPECT_TRUE(run(model).allclose(run(text_net()), 0.05, 0.02));
}

TEST(WeightOnly, AbsorbsOnlyWhatNobodyElseSees) {
  const auto graph_of = [](const std::string& body) {
    Model model = parse_model(
        "<ir_version: 8, opset_import: [\"\" : 17]> net (float[N,3] x) => (float[N,3] y) "
        "<float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[3] b = {1,2,3}> {" +
        body + "}");
    return model;
  };
  const at::Tensor factors = at::tensor({2.0, 4.0, 0.5});
  const auto absorbs = [&](const std::string& body, const std::string& value, std::set<size_t> readers) {
    Model model = graph_of(body);
    const bool done = absorb_division(model.graph, value, factors, readers);
    const at::Tensor x = at::tensor({1.0F, -2.0F, 3.0F}).reshape({1, 3});
    const auto tapped = [&](const Model& m) { return GraphModule(m).forward_tapped({x}, {value}).values[0]; };
    const at::Tensor before = tapped(graph_of(body)), after = tapped(model);
    EXPECT_TRUE(after.allclose(done ? before / factors.to(at::kFloat) : before)) << body;
    return done;
  };
  const std::string end = " y = MatMul (v, w)";
  EXPECT_TRUE(absorbs("v = Mul (x, b)" + end, "v", {1}));
  EXPECT_TRUE(absorbs("h = MatMul (x, w) s = Add (h, b) v = Relu (s)" + end, "v", {3}));
  EXPECT_TRUE(absorbs("v = Gemm <transB = 1> (x, w, b)" + end, "v", {1}));
  EXPECT_TRUE(absorbs("v = LayerNormalization (x, b, b)" + end, "v", {1}));
  EXPECT_FALSE(absorbs("v = Mul (x, b)" + end, "v", {}));    // not the only reader
  EXPECT_FALSE(absorbs("v = Sigmoid (x)" + end, "v", {1}));  // not linear
  EXPECT_FALSE(absorbs("v = Mul (x, x)" + end, "v", {1}));   // no constant
  EXPECT_FALSE(absorbs("h = MatMul (x, w) v = Relu (h) t = MatMul (v, w) y = Add (t, h)", "v", {2}));
  EXPECT_FALSE(absorbs("v = Gemm <alpha = 2.0> (x, w, b)" + end, "v", {1}));
}

TEST(WeightOnly, SaysWhatStaysFloat) {
  const WeightOnlyModel result = quantize_weights(text_net(), nullptr, {}, {.keep_float = {"up"}});
  ASSERT_EQ(result.layers.size(), 3u);
  EXPECT_EQ(result.layers[0].node, "up");
  EXPECT_FALSE(result.layers[0].quantized);
  EXPECT_EQ(result.layers[0].reason, "named in keep_float");
  EXPECT_TRUE(result.layers[1].quantized);
  EXPECT_THAT(operator_set(result.model), Contains("MatMul"));
}

TEST(WeightOnly, RefusesWhatItCannotDo) {
  const auto error = [&](const WeightOnlyOptions& options) {
    return message_of([&] { quantize_weights(text_net(), nullptr, {}, options); });
  };
  EXPECT_THAT(error({.method = "gptq"}), HasSubstr("needs samples"));
  EXPECT_THAT(error({.method = "gtpq"}), HasSubstr("did you mean 'gptq'"));
  EXPECT_THAT(error({.format = "nbits"}), HasSubstr("matmul_nbits"));
  EXPECT_THAT(error({.bits = 3}), HasSubstr("3 bits"));
  EXPECT_THAT(error({.block = 24}), HasSubstr("24"));
  EXPECT_THAT(error({.damping = 0}), HasSubstr("damping"));
  EXPECT_THAT(error({.keep_float = {"nothing*"}}), HasSubstr("nothing*"));
  EXPECT_THAT(error({.keep_float = {"*"}}), HasSubstr("no layer can be quantized"));
  EXPECT_THAT(error({.target = "abacus"}), HasSubstr("abacus"));
  Model broken = text_net();
  broken.graph.set_initializer("up.weight", to_constant(at::full({kWidth, 64}, INFINITY)));
  EXPECT_THAT(message_of([&] { quantize_weights(broken, nullptr, {}, {}); }), HasSubstr("'up'"));
}

TEST(DynamicQuantization, MultipliesIntegers) {
  const DynamicModel result = quantize_dynamic(text_net());
  EXPECT_EQ(operator_set(result.model).count("MatMul") + operator_set(result.model).count("Gemm"), 0u);
  int64_t quantizers = 0, products = 0;
  for (const Node& node : result.model.graph.nodes) {
    quantizers += node.op_type == "DynamicQuantizeLinear";
    products += node.op_type == "MatMulInteger";
  }
  EXPECT_EQ(products, 3);
  EXPECT_EQ(quantizers, 2);  // two layers read the norm
  verify(result.model);
  const at::Tensor expected = run(text_net());
  const double error = (run(result.model) - expected).square().mean().item<double>();
  EXPECT_LT(error, 1e-3 * expected.square().mean().item<double>());
  EXPECT_GT(error, 0);
}

// By hand: uint8 inputs over the range of the whole tensor, int8 weights by column.
TEST(DynamicQuantization, FollowsTheDefinition) {
  for (const bool reduce_range : {false, true}) {
    Model model = parse_model(R"(
      <ir_version: 8, opset_import: ["" : 13]>
      net (float[N,8] x) => (float[N,3] y) { [fc] y = Gemm (x, w, b) })");
    at::manual_seed(4);
    const at::Tensor w = at::randn({8, 3}), b = at::randn({3}), x = at::randn({5, 8});
    model.graph.add_initializer("w", to_constant(w));
    model.graph.add_initializer("b", to_constant(b));
    const at::Tensor actual =
        GraphModule(quantize_dynamic(model, {.reduce_range = reduce_range}).model).forward(x);
    const double limit = reduce_range ? 63 : 127;
    const at::Tensor ws = std::get<0>(w.abs().max(0)) / limit;
    const at::Tensor wq = at::round(w / ws);
    const at::Tensor low = x.min().clamp_max(0), xs = (x.max().clamp_min(0) - low) / 255;
    const at::Tensor xq = (at::round(x / xs) + at::round(-low / xs)).clamp(0, 255) - at::round(-low / xs);
    EXPECT_TRUE(actual.allclose(at::matmul(xq, wq) * xs * ws + b, 1e-4, 1e-5));
  }
}

TEST(DynamicQuantization, LeavesFloatWhatItMust) {
  const DynamicModel result = quantize_dynamic(text_net(), {.keep_float = {"down"}});
  EXPECT_EQ(result.layers.back().reason, "named in keep_float");
  EXPECT_THAT(operator_set(result.model), Contains("Gemm"));
  EXPECT_THAT(message_of([] { quantize_dynamic(text_net(), {.keep_float = {"*"}}); }),
              HasSubstr("keep_float"));
}

}  // namespace
}  // namespace mc
