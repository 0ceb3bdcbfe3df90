#include "mc/quantize/quantize.h"

#include <cmath>
#include <map>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/module/parameter_view.h"

namespace mc {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;

// Two convolutions with batch norm and a residual add, pooled, and a classifier: the shapes of a ResNet.
Model residual_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8,8] x) => (float[N,5] y)
    {
      [conv1] c1 = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "conv1.weight")
      [bn1] b1 = BatchNormalization (c1, "bn1.weight", "bn1.bias", "bn1.mean", "bn1.var")
      [relu1] r1 = Relu (b1)
      [conv2] c2 = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (r1, "conv2.weight", "conv2.bias")
      [bn2] b2 = BatchNormalization (c2, "bn2.weight", "bn2.bias", "bn2.mean", "bn2.var")
      [add] s = Add (b2, r1)
      [relu2] r2 = Relu (s)
      [pool] p = GlobalAveragePool (r2)
      [flatten] f = Flatten (p)
      [fc] y = Gemm <transB = 1> (f, "fc.weight", "fc.bias")
    })");
  at::manual_seed(3);
  auto add = [&](const std::string& name, std::vector<int64_t> dims, double mean, double deviation) {
    const at::Tensor t = (at::randn(dims) * deviation + mean).contiguous();
    model.graph.add_initializer(
        name,
        Tensor::floats(dims, std::span<const float>(t.data_ptr<float>(), static_cast<size_t>(t.numel()))));
  };
  add("conv1.weight", {8, 3, 3, 3}, 0, 0.3);
  add("conv2.weight", {8, 8, 3, 3}, 0, 0.2);
  add("conv2.bias", {8}, 0, 0.2);
  for (const std::string bn : {"bn1", "bn2"}) {
    add(bn + ".weight", {8}, 1, 0.2);
    add(bn + ".bias", {8}, 0, 0.2);
    add(bn + ".mean", {8}, 0, 0.2);
    add(bn + ".var", {8}, 2, 0.1);
  }
  add("fc.weight", {5, 8}, 0, 0.4);
  add("fc.bias", {5}, 0, 0.1);
  return model;
}

std::map<std::string, int> operators(const Model& model) {
  std::map<std::string, int> count;
  for (const Node& node : model.graph.nodes) ++count[node.op_type];
  return count;
}

at::Tensor batch(uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({16, 3, 8, 8});
}

at::Tensor run(GraphModule& module, const at::Tensor& x) {
  at::NoGradGuard no_grad;
  return module.forward(x);
}

double snr_db(const at::Tensor& reference, const at::Tensor& other) {
  return 10 * std::log10(reference.square().sum().item<double>() /
                         (reference - other).square().sum().item<double>());
}

TEST(PrepareQat, PutsQuantizersWhereTheTargetWantsThem) {
  Model model = residual_net();
  const auto report = prepare_qat(model, {});
  verify(model);
  ASSERT_EQ(report.size(), 3U);
  for (const LayerQuantization& layer : report) EXPECT_TRUE(layer.quantized) << layer.node << layer.reason;
  const auto ops = operators(model);
  // 3 weights; x, r1, b2, r2 and p; f has the range of p.
  EXPECT_EQ(ops.at("FakeQuantize"), 3 + 5);
  EXPECT_EQ(ops.at("FoldedWeight"), 2);
  EXPECT_EQ(ops.at("FoldedBatchNormalization"), 2);
  EXPECT_EQ(ops.count("Relu"), 0U);
  EXPECT_EQ(ops.count("BatchNormalization"), 0U);
}

TEST(PrepareQat, FoldedGraphEqualsTheFloatGraphWhileNotQuantizing) {
  Model model = residual_net();
  GraphModule reference(model);
  reference.eval();
  GraphModule module(model);
  prepare_qat(module, {});
  set_phase(module, {.observe = false, .quantize = false, .freeze_batch_norm = true});
  module.eval();
  const at::Tensor x = batch(1);
  EXPECT_TRUE(at::allclose(run(module, x), run(reference, x), 1e-4, 1e-5));
}

TEST(PrepareQat, FoldedBatchNormTrainsLikeBatchNorm) {
  Model model = residual_net();
  GraphModule reference(model);
  reference.train();
  GraphModule module(model);
  prepare_qat(module, {});
  set_phase(module, {.observe = false, .quantize = false, .freeze_batch_norm = false});
  module.train();
  const at::Tensor x = batch(2);
  const at::Tensor expected = reference.forward(x);
  const at::Tensor actual = module.forward(x);
  EXPECT_TRUE(at::allclose(actual, expected, 1e-3, 1e-4));
  expected.square().sum().backward();
  actual.square().sum().backward();
  for (const char* name : {"conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "fc.weight"}) {
    const at::Tensor a = module.tensor(name).grad(), e = reference.tensor(name).grad();
    EXPECT_LT((a - e).norm().item<double>(), 2e-3 * e.norm().item<double>() + 1e-5) << name;
  }
  EXPECT_TRUE(at::allclose(module.tensor("bn1.mean"), reference.tensor("bn1.mean"), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(module.tensor("bn1.var"), reference.tensor("bn1.var"), 1e-3, 1e-4));
  EXPECT_TRUE(at::allclose(module.tensor("bn2.var"), reference.tensor("bn2.var"), 1e-3, 1e-4));
}

std::shared_ptr<GraphModule> trained(const Model& model, const QuantizeOptions& options = {}) {
  auto module = qat_version_model(GraphModule(model), options);
  module->train();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    at::NoGradGuard no_grad;
    module->forward(batch(seed));
  }
  set_phase(*module, {.observe = false, .quantize = true, .freeze_batch_norm = true});
  module->eval();
  return module;
}

TEST(Convert, QdqGraphEqualsTheSimulation) {
  const auto module = trained(residual_net());
  const Model converted = convert_fx(*module);
  verify(converted);
  const auto ops = operators(converted);
  EXPECT_EQ(ops.count("FakeQuantize"), 0U);
  EXPECT_EQ(ops.count("BatchNormalization"), 0U);
  EXPECT_TRUE(converted.functions.empty());
  EXPECT_EQ(converted.opset("mc"), 0);
  EXPECT_THAT(ops, Contains(Key("QuantizeLinear")));
  EXPECT_EQ(converted.graph.initializer("conv1.weight_int8")->tensor.dtype, DType::kInt8);
  GraphModule deployed(converted);
  deployed.eval();
  const at::Tensor x = batch(50);
  EXPECT_GT(snr_db(run(*module, x), run(deployed, x)), 45);
}

TEST(Convert, FewBitsKeepTheirLevelsInWiderTypes) {
  QuantizeOptions options;
  options.weight_bits = 4;
  options.activation_bits = 3;
  GraphModule module(residual_net());
  prepare_qat(module, options);
  module.train();
  for (int step = 0; step < 4; ++step) run(module, batch(step));
  module.eval();
  const Model converted = convert(module, options);
  for (const double level : converted.graph.initializer("conv2.weight_int8")->tensor.as_doubles()) {
    EXPECT_LE(std::abs(level), 7);
  }
  GraphModule deployed(converted);
  deployed.eval();
  const at::Tensor x = batch(50) * 4;  // beyond what was seen
  // A tie that falls to the other side is a whole level of eight.
  EXPECT_GT(snr_db(run(module, x), run(deployed, x)), 25);
  const auto bound = converted.graph.initializer("r1_clipped_max");
  ASSERT_NE(bound, nullptr);
  EXPECT_NEAR(bound->tensor.as_doubles().at(0),
              7 * converted.graph.initializer("r1_scale")->tensor.as_doubles().at(0), 1e-6);
}

TEST(Convert, StaysCloseToTheFloatModel) {
  const auto module = trained(residual_net());
  GraphModule reference(residual_net());
  {
    at::NoGradGuard no_grad;
    for (const char* name : {"bn1.mean", "bn1.var", "bn2.var"}) {
      reference.tensor(name).copy_(module->tensor(name));
    }
    // conv2's bias stands in the mean of the batch norm behind it since preparing.
    reference.tensor("bn2.mean").copy_(module->tensor("bn2.mean_less_bias") + reference.tensor("conv2.bias"));
  }
  reference.eval();
  const at::Tensor x = batch(60);
  EXPECT_GT(snr_db(run(reference, x), run(*module, x)), 25);
}

TEST(Convert, RefusesAModelThatNeverSawData) {
  const auto module = qat_version_model(GraphModule(residual_net()));
  try {
    convert_fx(*module);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no observed range"));
  }
}

TEST(Convert, TensorrtIsSymmetricWithFloatBias) {
  QuantizeOptions options;
  options.target = "tensorrt";
  const Model converted = convert_fx(*trained(residual_net(), options), options);
  for (const Node& node : converted.graph.nodes) {
    if (node.op_type != "QuantizeLinear") continue;
    const Tensor& zero = converted.graph.initializer(node.inputs[2])->tensor;
    EXPECT_EQ(zero.dtype, DType::kInt8);
    EXPECT_EQ(zero.as_ints().at(0), 0);
  }
  for (const Node& node : converted.graph.nodes) {
    if (node.op_type != "Conv") continue;
    EXPECT_TRUE(converted.graph.initializer(node.inputs.at(2))) << node.name;
  }
}

TEST(PrepareQat, KeepFloatAndErrors) {
  Model model = residual_net();
  const auto report = prepare_qat(model, {.keep_float = {"conv2", "f?"}});
  EXPECT_FALSE(report[1].quantized);
  EXPECT_EQ(report[1].reason, "named in keep_float");
  EXPECT_FALSE(report[2].quantized);
  EXPECT_THROW(prepare_qat(model, {}), Error);  // already quantized

  Model other = residual_net();
  const std::string before = print(other, true);
  try {
    prepare_qat(other, {.keep_float = {"con2"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("conv2"));
  }
  EXPECT_EQ(print(other, true), before);
  EXPECT_THROW(find_target("onnxruntim"), Error);
}

TEST(PrepareQat, WeightsKeepTheirKind) {
  GraphModule module(residual_net());
  prepare_qat(module, {});
  std::map<std::string, ParameterKind> kinds;
  for (const ParameterView& view : parameter_views(module)) kinds[view.name] = view.kind;
  EXPECT_EQ(kinds.at("conv1.weight"), ParameterKind::kConv);
  EXPECT_EQ(kinds.at("fc.weight"), ParameterKind::kLinear);
  EXPECT_EQ(module.role("bn1.mean"), Role::kStatistic);
}

TEST(SetPhase, WeightsKeepObserving) {
  GraphModule module(residual_net());
  prepare_qat(module, {});
  set_phase(module, {.observe = false, .quantize = true, .freeze_batch_norm = true});
  int weights = 0, activations = 0;
  for (const Node& node : module.structure().graph.nodes) {
    if (node.op_type != "FakeQuantize") continue;
    const int64_t observes = module.tensor(node.inputs[5])[0].item<int64_t>();
    (observes ? weights : activations) += 1;
  }
  EXPECT_EQ(weights, 3);
  EXPECT_EQ(activations, 5);
}

}  // namespace
}  // namespace mc
