// Per-layer comparison of quantized models with the real ONNX Runtime.
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/deploy/compare.h"
#include "mc/deploy/fusion.h"
#include "mc/deploy/layer_models.h"
#include "mc/deploy/tap_points.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/op.h"
#include "mc/quantize/calibrate.h"
#include "tests/base/temporary_folder.h"

namespace mc {
namespace {

struct TestNet {
  const char* name;
  const char* text;
  std::vector<std::pair<const char*, std::vector<int64_t>>> weights;
  std::vector<int64_t> sample;
};

// Residual adds, a Concat of two ranges, both poolings, Gemm.
const TestNet kResidual = {"residual",
                           R"(<ir_version: 8, opset_import: ["" : 17]>
residual (float[N,3,16,16] x) => (float[N,C] y) {
  [conv0] c0 = Conv<pads = [1,1,1,1]>(x, w0, b0)
  [relu0] r0 = Relu(c0)
  [conv1] c1 = Conv<pads = [1,1,1,1]>(r0, w1, b1)
  [relu1] r1 = Relu(c1)
  [conv2] c2 = Conv<pads = [1,1,1,1]>(r1, w2, b2)
  [add2] a2 = Add(c2, r0)
  [relu2] r2 = Relu(a2)
  [max3] m3 = MaxPool<kernel_shape = [2,2], strides = [2,2]>(r2)
  [mean3] p3 = AveragePool<kernel_shape = [3,3], strides = [1,1], pads = [1,1,1,1]>(m3)
  [concat3] k3 = Concat<axis = 1>(m3, p3)
  [conv4] c4 = Conv<strides = [2,2], pads = [1,1,1,1]>(k3, w4, b4)
  [relu4] r4 = Relu(c4)
  [pool] g = GlobalAveragePool(r4)
  [flat] f = Flatten(g)
  [fc] y = Gemm<transB = 1>(f, w5, b5)
})",
                           {{"w0", {16, 3, 3, 3}},
                            {"b0", {16}},
                            {"w1", {16, 16, 3, 3}},
                            {"b1", {16}},
                            {"w2", {16, 16, 3, 3}},
                            {"b2", {16}},
                            {"w4", {32, 32, 3, 3}},
                            {"b4", {32}},
                            {"w5", {10, 32}},
                            {"b5", {10}}},
                           {3, 16, 16}};

const TestNet kDepthwise = {"depthwise",
                            R"(<ir_version: 8, opset_import: ["" : 17]>
depthwise (float[N,3,16,16] x) => (float[N,C] y) <float zero = {0}, float six = {6}> {
  [conv0] c0 = Conv<pads = [1,1,1,1], strides = [2,2]>(x, w0, b0)
  [clip0] r0 = Clip(c0, zero, six)
  [expand] c1 = Conv(r0, w1, b1)
  [clip1] r1 = Clip(c1, zero, six)
  [depthwise] c2 = Conv<pads = [1,1,1,1], group = 24>(r1, w2, b2)
  [clip2] r2 = Clip(c2, zero, six)
  [project] c3 = Conv(r2, w3, b3)
  [add3] a3 = Add(c3, r0)
  [up] u4 = ConvTranspose<strides = [2,2]>(a3, w4, b4)
  [leaky] r4 = LeakyRelu<alpha = 0.1>(u4)
  [pool] g = GlobalAveragePool(r4)
  [flat] f = Flatten(g)
  [fc] y = Gemm<transB = 1>(f, w5, b5)
})",
                            {{"w0", {8, 3, 3, 3}},
                             {"b0", {8}},
                             {"w1", {24, 8, 1, 1}},
                             {"b1", {24}},
                             {"w2", {24, 1, 3, 3}},
                             {"b2", {24}},
                             {"w3", {8, 24, 1, 1}},
                             {"b3", {8}},
                             {"w4", {8, 12, 2, 2}},
                             {"b4", {12}},
                             {"w5", {10, 12}},
                             {"b5", {10}}},
                            {3, 16, 16}};

const TestNet kSqueezeExcite = {"squeeze and excite",
                                R"(<ir_version: 8, opset_import: ["" : 17]>
excite (float[N,3,16,16] x) => (float[N,C] y) {
  [conv0] c0 = Conv<pads = [1,1,1,1]>(x, w0, b0)
  [swish0] h0 = HardSwish(c0)
  [squeeze] g1 = GlobalAveragePool(h0)
  [reduce] s1 = Conv(g1, w1, b1)
  [relu1] s2 = Relu(s1)
  [excite] s3 = Conv(s2, w2, b2)
  [gate] s4 = HardSigmoid<alpha = 0.16666667, beta = 0.5>(s3)
  [scale] m = Mul(h0, s4)
  [conv3] c3 = Conv<pads = [1,1,1,1], group = 16>(m, w3, b3)
  [sigmoid3] q3 = Sigmoid(c3)
  [silu3] z3 = Mul(c3, q3)
  [conv4] c4 = Conv(z3, w4, b4)
  [mean] g = GlobalAveragePool(c4)
  [flat] f = Flatten(g)
  [fc] y = Gemm<transB = 1>(f, w5, b5)
})",
                                {{"w0", {16, 3, 3, 3}},
                                 {"b0", {16}},
                                 {"w1", {4, 16, 1, 1}},
                                 {"b1", {4}},
                                 {"w2", {16, 4, 1, 1}},
                                 {"b2", {16}},
                                 {"w3", {16, 1, 3, 3}},
                                 {"b3", {16}},
                                 {"w4", {24, 16, 1, 1}},
                                 {"b4", {24}},
                                 {"w5", {10, 24}},
                                 {"b5", {10}}},
                                {3, 16, 16}};

const TestNet kAttention = {"attention",
                            R"(<ir_version: 8, opset_import: ["" : 17]>
attention (float[N,12,32] x) => (float[N,12,32] y)
<float scale = {0.35355339}, int64[4] heads = {0, 12, 4, 8}, int64[3] flat = {0, 12, 32}> {
  [query] q0 = MatMul(x, wq)
  [query_bias] q1 = Add(q0, bq)
  [key] k0 = MatMul(x, wk)
  [key_bias] k1 = Add(k0, bk)
  [value] v0 = MatMul(x, wv)
  [value_bias] v1 = Add(v0, bv)
  q2 = Reshape(q1, heads)
  k2 = Reshape(k1, heads)
  v2 = Reshape(v1, heads)
  q3 = Transpose<perm = [0,2,1,3]>(q2)
  k3 = Transpose<perm = [0,2,3,1]>(k2)
  v3 = Transpose<perm = [0,2,1,3]>(v2)
  [scores] s0 = MatMul(q3, k3)
  [scaled] s1 = Mul(s0, scale)
  [softmax] s2 = Softmax<axis = -1>(s1)
  [mix] o0 = MatMul(s2, v3)
  o1 = Transpose<perm = [0,2,1,3]>(o0)
  o2 = Reshape(o1, flat)
  [out] o3 = MatMul(o2, wo)
  [out_bias] o4 = Add(o3, bo)
  [residual] y = Add(o4, x)
})",
                            {{"wq", {32, 32}},
                             {"bq", {32}},
                             {"wk", {32, 32}},
                             {"bk", {32}},
                             {"wv", {32, 32}},
                             {"bv", {32}},
                             {"wo", {32, 32}},
                             {"bo", {32}}},
                            {12, 32}};

Model float_model(const TestNet& net) {
  Model model = parse_model(net.text);
  at::manual_seed(11);
  for (const auto& [name, dims] : net.weights) {
    const double inputs = dims.size() == 4 ? static_cast<double>(dims[1] * dims[2] * dims[3]) : 32;
    const double spread = dims.size() == 1 ? 0.1 : std::sqrt(2 / inputs);
    model.graph.add_initializer(name, to_constant(at::randn(dims) * spread));
  }
  return model;
}

std::shared_ptr<const Dataset> samples_of(const TestNet& net, int64_t count, uint64_t seed) {
  return random_dataset(count, {{"x", at::kFloat, net.sample}}, seed);
}

Model quantized_model(const TestNet& net) {
  QuantizeOptions options;
  options.samples = 64;
  return quantize_ptq(float_model(net), samples_of(net, 64, 5), {}, options).model;
}

Comparison compare_layers_of(const TestNet& net, const std::filesystem::path& reference,
                             const std::filesystem::path& other, int64_t batch, CompareOptions options) {
  LoaderOptions loading;
  loading.batch_size = batch;
  Loader loader(samples_of(net, batch == 1 ? 4 : 64, 17), loading);
  options.per_layer = true;
  return compare(reference, other, loader, options);
}

bool have_onnxruntime() {
  return find_engine("onnxruntime").available();
}

CompareOptions on(const std::string& engine, const std::string& other = "") {
  CompareOptions options;
  options.engine = engine;
  options.other_engine = other;
  return options;
}

class LayersOnTheEngine : public ::testing::TestWithParam<const TestNet*> {};

TEST_P(LayersOnTheEngine, DifferByOneStepAtMost) {
  if (!have_onnxruntime()) GTEST_SKIP() << find_engine("onnxruntime").unavailable_reason();
  const TestNet& net = *GetParam();
  TemporaryFolder folder;
  write_onnx(quantized_model(net), folder / "int8.onnx");
  for (const int64_t batch : {1, 32}) {
    const Comparison result =
        compare_layers_of(net, folder / "int8.onnx", folder / "int8.onnx", batch, on("torch", "onnxruntime"));
    int64_t quantized = 0;
    for (const LayerComparison& layer : result.layers) {
      EXPECT_LE(layer.local.steps, 1) << net.name << " " << layer.name << " at batch " << batch;
      EXPECT_FALSE(layer.parts) << net.name << " " << layer.name << " at batch " << batch;
      quantized += layer.steps >= 0;
    }
    EXPECT_GE(quantized, 4) << net.name;
    EXPECT_EQ(result.first_that_parts(), nullptr);
    EXPECT_GE(result.min_snr_db(), 35) << net.name << " at batch " << batch;
  }
}

// Where every layer is an integer kernel, our plan gives the very integers of the engine.
TEST(LayerFidelity, IntegerKernelsAreReproducedToTheBit) {
  if (!have_onnxruntime()) GTEST_SKIP() << find_engine("onnxruntime").unavailable_reason();
  TemporaryFolder folder;
  write_onnx(quantized_model(kResidual), folder / "int8.onnx");
  const Comparison result = compare_layers_of(kResidual, folder / "int8.onnx", folder / "int8.onnx", 32,
                                              on("torch", "onnxruntime"));
  for (const LayerComparison& layer : result.layers) {
    EXPECT_LE(layer.differing, 0) << layer.name;  // -1: not quantized
  }
  EXPECT_EQ(result.top1_agreement, 1);
}

TEST_P(LayersOnTheEngine, WatchingLeavesTheIntegerKernels) {
  if (!have_onnxruntime()) GTEST_SKIP() << find_engine("onnxruntime").unavailable_reason();
  TemporaryFolder folder;
  Model model = quantized_model(*GetParam());
  infer_shapes(model);
  std::vector<std::string> shown;
  std::set<std::string> cuts;
  for (const TapPoint& tap : tap_points(model)) {
    shown.push_back(tap.tensor);
    cuts.insert(tap.tensor);
  }
  const auto kernels = [&](const Model& other) {
    write_onnx(other, folder / "shown.onnx");
    EngineOptions options;
    options.optimized_model = folder / "optimized.onnx";
    find_engine("onnxruntime").load(folder / "shown.onnx", options);
    return check_integer_kernels(read_onnx(folder / "optimized.onnx"));
  };
  const KernelCheck plain = kernels(model);
  ASSERT_FALSE(plain.integer.empty());
  EXPECT_EQ(kernels(with_outputs(model, shown)).integer.size(), plain.integer.size());
  EXPECT_EQ(kernels(cut_into_layers(model, cuts, shown)).integer.size(), plain.integer.size());
}

INSTANTIATE_TEST_SUITE_P(Nets, LayersOnTheEngine,
                         ::testing::Values(&kResidual, &kDepthwise, &kSqueezeExcite, &kAttention),
                         [](const auto& net) {
                           std::string name = net.param->name;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

// The first node that parts, where one weight's scale is doubled.
TEST(LayerFidelity, NamesTheBrokenLayer) {
  TemporaryFolder folder;
  const Model good = quantized_model(kResidual);
  const auto node_where = [&](const auto& rule) {
    return *std::find_if(good.graph.nodes.begin(), good.graph.nodes.end(), rule);
  };
  const Node conv = node_where([](const Node& node) { return node.name == "conv2"; });
  const Node weight = node_where([&](const Node& node) { return node.outputs[0] == conv.inputs[1]; });
  ASSERT_EQ(weight.op_type, "DequantizeLinear");
  const at::Tensor scale = to_aten(good.graph.initializer(weight.inputs[1])->tensor, true);
  Model broken = good;
  broken.graph.set_initializer(weight.inputs[1], to_constant(scale * 2));
  write_onnx(good, folder / "good.onnx");
  write_onnx(broken, folder / "broken.onnx");
  for (Engine* engine : all_engines()) {
    if (!engine->available()) continue;
    const Comparison result =
        compare_layers_of(kResidual, folder / "good.onnx", folder / "broken.onnx", 16, on(engine->name()));
    ASSERT_NE(result.first_that_parts(), nullptr) << engine->name();
    EXPECT_EQ(result.first_that_parts()->node, "node 'conv2' (Conv)") << engine->name();
    EXPECT_EQ(
        std::count_if(result.layers.begin(), result.layers.end(), [](const auto& l) { return l.parts; }), 1)
        << engine->name() << ": the layers behind are right by themselves";
    EXPECT_GT(result.layers.back().max_abs, 0) << engine->name();
  }
}

TEST(LayerFidelity, FloatModelAgainstItsIntegerForm) {
  TemporaryFolder folder;
  write_onnx(float_model(kResidual), folder / "float.onnx");
  write_onnx(quantized_model(kResidual), folder / "int8.onnx");
  const Comparison result =
      compare_layers_of(kResidual, folder / "float.onnx", folder / "int8.onnx", 32, on("torch"));
  ASSERT_GE(result.layers.size(), 8u);
  for (const LayerComparison& layer : result.layers) {
    EXPECT_GT(layer.local.snr_db, 25) << layer.name;
    EXPECT_GE(layer.local.snr_db, layer.snr_db - 3) << layer.name << ": a layer's own error is part of all";
  }
  EXPECT_EQ(result.first_that_parts(), nullptr);
}

// Memory for a few values only: several passes, the same figures.
TEST(LayerFidelity, SharesOfTheLayersGiveTheSame) {
  TemporaryFolder folder;
  write_onnx(quantized_model(kResidual), folder / "int8.onnx");
  const CompareOptions whole = on("torch", have_onnxruntime() ? "onnxruntime" : "torch");
  CompareOptions parts = whole;
  parts.layer_bytes = 300000;
  const auto path = folder / "int8.onnx";
  const Comparison one = compare_layers_of(kResidual, path, path, 32, whole);
  const Comparison many = compare_layers_of(kResidual, path, path, 32, parts);
  ASSERT_EQ(one.layers.size(), many.layers.size());
  for (size_t i = 0; i < one.layers.size(); ++i) {
    EXPECT_EQ(one.layers[i].name, many.layers[i].name);
    EXPECT_EQ(one.layers[i].local.steps, many.layers[i].local.steps) << one.layers[i].name;
    EXPECT_NEAR(one.layers[i].snr_db, many.layers[i].snr_db, 1e-6) << one.layers[i].name;
  }
}

TEST(LayerFidelity, OutputsCorrespondByPosition) {
  TemporaryFolder folder;
  write_onnx(parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
a (float[N,3,16,16] x) => (float[N,3,16,16] y) { y = Relu(x) })"),
             folder / "a.onnx");
  write_onnx(parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
b (float[N,3,16,16] x) => (float[N,3,16,16] x2) { x2 = Identity(x) })"),
             folder / "b.onnx");
  const Comparison result =
      compare_layers_of(kResidual, folder / "a.onnx", folder / "b.onnx", 4, on("torch"));
  ASSERT_EQ(result.layers.size(), 1u);
  EXPECT_TRUE(result.layers[0].parts);
  LoaderOptions full_batches_only;
  full_batches_only.batch_size = 8;
  full_batches_only.drop_last = true;
  Loader nothing(samples_of(kResidual, 4, 1), full_batches_only);
  CompareOptions options = on("torch");
  options.per_layer = true;
  EXPECT_THROW(compare(folder / "a.onnx", folder / "b.onnx", nothing, options), Error);
}

}  // namespace
}  // namespace mc
