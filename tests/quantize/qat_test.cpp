// Quantization-aware training: observers that clip, learned scales, and what may share a scale.
#include <cmath>
#include <map>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/module/parameter_view.h"
#include "mc/ops/slot.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/quantizer_config.h"
#include "mc/train/optimizer.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

// A convolution, and two matrix products as exporters write them.
Model qat_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,6,6] x) => (float[N,5] y)
    {
      [conv] c = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "conv.weight", "conv.bias")
      [relu] r = Relu (c)
      [pool] p = GlobalAveragePool (r)
      [flatten] f = Flatten (p)
      [hidden] h = MatMul (f, "hidden.weight")
      [act] a = Relu (h)
      [head] y = Gemm <transB = 1> (a, "head.weight", "head.bias")
    })");
  at::manual_seed(3);
  auto add = [&](const std::string& name, std::vector<int64_t> dims, double deviation) {
    model.graph.add_initializer(name, to_constant((at::randn(dims) * deviation).contiguous()));
  };
  add("conv.weight", {8, 3, 3, 3}, 0.3);
  add("conv.bias", {8}, 0.1);
  add("hidden.weight", {8, 16}, 0.5);
  add("head.weight", {5, 16}, 0.4);
  add("head.bias", {5}, 0.1);
  return model;
}

// Token and position tables, and one head of attention.
Model tiny_transformer() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (int64[N,6] ids) => (float[N,6,8] y)
    {
      [embed] e = Gather <axis = 0> ("table", ids)
      [query] q = MatMul (e, "query.weight")
      [key] k = MatMul (e, "key.weight")
      [value] v = MatMul (e, "value.weight")
      [turn] kt = Transpose <perm = [0,2,1]> (k)
      [scores] s = MatMul (q, kt)
      [soft] w = Softmax <axis = -1> (s)
      [context] c = MatMul (w, v)
      [out] y = MatMul (c, "out.weight")
    })");
  at::manual_seed(5);
  auto add = [&](const std::string& name, std::vector<int64_t> dims) {
    model.graph.add_initializer(name, to_constant((at::randn(dims) * 0.4).contiguous()));
  };
  add("table", {40, 8});
  for (const std::string name : {"query", "key", "value", "out"}) add(name + ".weight", {8, 8});
  return model;
}

at::Tensor qat_images(uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({16, 3, 6, 6});
}

at::Tensor token_ids(uint64_t seed) {
  at::manual_seed(seed);
  return at::randint(40, {4, 6}, at::kLong);
}

at::Tensor evaluated(GraphModule& module, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  module.eval();
  return module.forward(x);
}

double snr_of(const at::Tensor& reference, const at::Tensor& other) {
  return 10 * std::log10(reference.square().sum().item<double>() /
                         (reference - other).square().sum().item<double>());
}

int qat_count_of(const Model& model, const std::string& type) {
  int count = 0;
  for (const Node& node : model.graph.nodes) count += node.op_type == type;
  return count;
}

QuantizeOptions with_observer(const std::string& observer) {
  QuantizeOptions options;
  options.observer = observer;
  options.observe_every = 2;
  return options;
}

class Observers : public testing::TestWithParam<const char*> {};

TEST_P(Observers, TrainConvertAndDeployTheSame) {
  const QuantizeOptions options = with_observer(GetParam());
  GraphModule module(qat_net());
  prepare_qat(module, options);
  GraphModule teacher(qat_net());
  const auto optimizer = make_optimizer(SgdOptions{}, module);
  module.train();
  std::vector<double> losses;
  for (int step = 0; step < 12; ++step) {
    const at::Tensor x = qat_images(step % 3);
    optimizer->zero_grad();
    const at::Tensor loss = (module.forward(x) - evaluated(teacher, x)).square().mean();
    loss.backward();
    optimizer->step(0.01);
    losses.push_back(loss.item<double>());
    ASSERT_TRUE(std::isfinite(losses.back())) << step;
  }
  EXPECT_LE(losses.back() + losses[10] + losses[9], 1.5 * (losses[0] + losses[1] + losses[2]) + 0.01);
  set_phase(module, {.observe = false, .quantize = true, .freeze_batch_norm = true});
  const Model converted = convert(module, options);
  verify(converted);
  EXPECT_EQ(qat_count_of(converted, "FakeQuantize") + qat_count_of(converted, "LearnedFakeQuantize"), 0);
  EXPECT_TRUE(converted.functions.empty());
  GraphModule deployed(converted);
  const at::Tensor x = qat_images(7);
  EXPECT_GT(snr_of(evaluated(module, x), evaluated(deployed, x)), 45);
  EXPECT_GT(snr_of(evaluated(teacher, x), evaluated(deployed, x)), 12);
}

TEST_P(Observers, StateIsSavedAndLoaded) {
  const QuantizeOptions options = with_observer(GetParam());
  Model prepared = qat_net();
  prepare_qat(prepared, options);
  verify(prepared);
  GraphModule module(prepared), other(prepared);
  module.train();
  for (int step = 0; step < 3; ++step) module.forward(qat_images(step));
  other.load_state(module.state());
  const at::Tensor x = qat_images(9);
  EXPECT_TRUE(at::equal(evaluated(module, x), evaluated(other, x)));
  // The graph alone holds it too, and training goes on from there as it would have.
  GraphModule again(module.graph());
  module.train();
  again.train();
  EXPECT_TRUE(at::equal(module.forward(x), again.forward(x)));
  EXPECT_TRUE(at::equal(module.forward(x), again.forward(x)));
}

TEST_P(Observers, NeedData) {
  GraphModule module(qat_net());
  prepare_qat(module, with_observer(GetParam()));
  try {
    convert(module, with_observer(GetParam()));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no observed range"));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Observers,
                         testing::Values("moving_average", "min_max", "percentile", "mse", "histogram", "lsq",
                                         "lsq_plus"));

TEST(LearnedScales, AreParametersThatTrain) {
  for (const char* observer : {"lsq", "lsq_plus"}) {
    QuantizeOptions options = with_observer(observer);
    options.weight_bits = 4;
    options.activation_bits = 4;
    GraphModule module(qat_net());
    prepare_qat(module, options);
    int scales = 0, offsets = 0;
    for (const ParameterView& view : parameter_views(module)) {
      scales += view.name.ends_with("_quantizer.scale");
      offsets += view.name.ends_with("_quantizer.offset");
      if (view.name.find("_quantizer.") == std::string::npos) continue;
      EXPECT_EQ(view.kind, ParameterKind::kOther) << view.name;
      EXPECT_EQ(view.tensor.dim(), 1) << "would be decayed: " << view.name;
    }
    EXPECT_EQ(scales, 3 + 4);  // weights; x, r, p (f moves it) and a
    EXPECT_EQ(offsets, std::string(observer) == "lsq_plus" ? 4 : 0);
    const auto optimizer = make_optimizer(SgdOptions{}, module);
    module.train();
    module.forward(qat_images(0)).square().mean().backward();
    const at::Tensor scale = module.tensor("conv.weight_quantizer.scale");
    ASSERT_TRUE(scale.grad().defined());
    EXPECT_GT(scale.grad().abs().min().item<double>(), 0);
    const at::Tensor before = scale.detach().clone();
    optimizer->step(0.1);
    EXPECT_FALSE(at::equal(scale.detach(), before));
  }
}

// LSQ section 2.1: a scale starts at 2 mean|w| / sqrt(Qp), here of the weight that batch norm does not scale
// yet; a negative gamma turns the signs of levels, which the symmetric grid holds as well.
TEST(LearnedScales, BelongToTheWeightBeforeBatchNormIsFolded) {
  QuantizeOptions options = with_observer("lsq");
  options.weight_bits = 4;
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]> net (float[N,3,6,6] x) => (float[N,8,4,4] y)
    {
      c = Conv <kernel_shape = [3,3]> (x, "conv.weight")
      y = BatchNormalization (c, gamma, beta, mean, var)
    })");
  at::manual_seed(3);
  at::Tensor gamma = at::rand({8}) + 0.1;
  gamma[1] = -0.5;
  const std::pair<const char*, at::Tensor> tensors[] = {{"conv.weight", at::randn({8, 3, 3, 3})},
                                                        {"gamma", gamma},
                                                        {"beta", at::randn({8})},
                                                        {"mean", at::randn({8})},
                                                        {"var", at::rand({8}) * 20 + 1}};
  for (const auto& [name, values] : tensors) model.graph.add_initializer(name, to_constant(values));
  GraphModule module(model);
  prepare_qat(module, options);
  module.train();
  module.forward(qat_images(0));
  const at::Tensor weight = module.tensor("conv.weight").detach().flatten(1);
  const at::Tensor scale = module.tensor("conv.weight_quantizer.scale").detach();
  EXPECT_TRUE(scale.allclose(2 * weight.abs().mean(1) / std::sqrt(7.0)));
  GraphModule deployed(convert(module, options));
  const at::Tensor x = qat_images(7);
  // The bias is rounded too, which turns a few of y's levels by one.
  const at::Tensor steps =
      ((evaluated(module, x) - evaluated(deployed, x)) / module.tensor("y_quantizer.scale")).abs();
  EXPECT_LT(steps.max().item<double>(), 1.01);
  EXPECT_LT(steps.gt(0.5).to(at::kDouble).mean().item<double>(), 0.05);
}

TEST(LearnedScales, StayOnceFrozen) {
  GraphModule module(qat_net());
  prepare_qat(module, with_observer("lsq_plus"));
  module.train();
  module.forward(qat_images(0));
  set_phase(module, {.observe = false, .quantize = true, .freeze_batch_norm = true});
  module.forward(qat_images(1)).square().mean().backward();
  EXPECT_FALSE(module.tensor("conv.weight_quantizer.scale").grad().defined());
  EXPECT_FALSE(module.tensor("r_quantizer.offset").grad().defined());
  EXPECT_TRUE(module.tensor("conv.weight").grad().defined());
}

TEST(LearnedScales, TrainFewBitsBetterThanObservedOnes) {
  const auto loss_with = [](const char* observer) {
    QuantizeOptions options = with_observer(observer);
    options.weight_bits = 3;
    options.activation_bits = 3;
    GraphModule module(qat_net()), teacher(qat_net());
    prepare_qat(module, options);
    AdamOptions adam;
    const auto optimizer = make_optimizer(adam, module);
    double sum = 0;
    for (int step = 0; step < 150; ++step) {
      const at::Tensor x = qat_images(step % 8);
      module.train();
      optimizer->zero_grad();
      const at::Tensor loss = (module.forward(x) - evaluated(teacher, x)).square().mean();
      loss.backward();
      optimizer->step(0.003);
      if (step >= 100) sum += loss.item<double>();
    }
    return sum;
  };
  EXPECT_LT(loss_with("lsq_plus"), loss_with("min_max"));
}

TEST(LearnedScales, AreForTrainingOnly) {
  QuantizeOptions options = with_observer("lsq");
  options.mode = "ptq";
  Model model = qat_net();
  prepare_qat(model, options);
  EXPECT_EQ(qat_count_of(model, "LearnedFakeQuantize"), 0);
}

TEST(WeightGranularity, TensorHasOneScale) {
  QuantizeOptions options;
  options.weight_granularity = "tensor";
  GraphModule module(qat_net());
  prepare_qat(module, options);
  module.train();
  module.forward(qat_images(0));
  const Model converted = convert(module, options);
  const Tensor& scale = converted.graph.initializer("conv.weight_scale")->tensor;
  EXPECT_TRUE(scale.dims.empty());
  const double largest = module.tensor("conv.weight").abs().max().item<double>();
  EXPECT_NEAR(scale.as_doubles().at(0), largest / 127, 1e-6);
  GraphModule deployed(converted);
  EXPECT_GT(snr_of(evaluated(module, qat_images(1)), evaluated(deployed, qat_images(1))), 45);
}

TEST(WeightGranularity, GroupsBecomeBlocks) {
  for (const char* scheme : {"symmetric", "asymmetric"}) {
    QuantizeOptions options;
    options.weight_granularity = "group";
    options.weight_scheme = scheme;
    options.group_size = 4;
    options.weight_bits = 4;
    GraphModule module(qat_net());
    prepare_qat(module, options);
    module.train();
    module.forward(qat_images(0)).sum().backward();
    EXPECT_TRUE(module.tensor("hidden.weight").grad().defined());
    const Model converted = convert(module, options);
    verify(converted);
    EXPECT_GE(converted.opset(), 21);
    EXPECT_EQ(converted.graph.initializer("hidden.weight_scale")->tensor.dims, (std::vector<int64_t>{2, 16}));
    EXPECT_EQ(converted.graph.initializer("head.weight_scale")->tensor.dims, (std::vector<int64_t>{5, 4}));
    EXPECT_EQ(converted.graph.initializer("conv.weight_scale")->tensor.dims, (std::vector<int64_t>{8}));
    GraphModule deployed(converted);
    EXPECT_GT(snr_of(evaluated(module, qat_images(1)), evaluated(deployed, qat_images(1))), 45) << scheme;
  }
}

TEST(Schemes, AsymmetricWeightsUseAllLevels) {
  QuantizeOptions options;
  options.weight_scheme = "asymmetric";
  options.activation_scheme = "symmetric";
  Model model = qat_net();
  Tensor& weight = model.graph.initializer("head.weight")->tensor;
  weight = to_constant(to_aten(weight, false).abs().contiguous());
  GraphModule module(model);
  prepare_qat(module, options);
  module.train();
  module.forward(qat_images(0));
  const Model converted = convert(module, options);
  const std::vector<double> levels = converted.graph.initializer("head.weight_int8")->tensor.as_doubles();
  EXPECT_EQ(*std::max_element(levels.begin(), levels.end()), 127);
  const auto zeros = converted.graph.initializer("head.weight_zero_point")->tensor.as_ints();
  EXPECT_THAT(zeros, testing::Each(-128));
  EXPECT_EQ(converted.graph.initializer("r_zero_point")->tensor.as_ints().at(0), 128);
  GraphModule deployed(converted);
  EXPECT_GT(snr_of(evaluated(module, qat_images(1)), evaluated(deployed, qat_images(1))), 45);
}

TEST(Schemes, TargetsRefuseWhatTheyCannotTake) {
  const auto refuses = [](const std::function<void(QuantizeOptions&)>& change, const char* words) {
    QuantizeOptions options;
    options.target = "tensorrt";
    change(options);
    Model model = qat_net();
    const std::string before = print(model, true);
    try {
      prepare_qat(model, options);
      ADD_FAILURE() << "no error: " << words;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
    EXPECT_EQ(print(model, true), before);
  };
  refuses([](QuantizeOptions& o) { o.weight_granularity = "group"; }, "no groups");
  refuses([](QuantizeOptions& o) { o.weight_scheme = "asymmetric"; }, "symmetric weights only");
  refuses([](QuantizeOptions& o) { o.activation_scheme = "asymmetric"; }, "symmetric activations only");
  refuses(
      [](QuantizeOptions& o) {
        o.target = "onnxruntime";
        o.observer = "lsq";
        o.weight_granularity = "group";
      },
      "not of groups");
  refuses([](QuantizeOptions& o) { o.requantize = {"no such node"}; }, "requantize");
}

TEST(Transformer, QuantizesTablesAndProductsOfActivations) {
  for (const char* embeddings : {"tensor", "row"}) {
    QuantizeOptions options;
    options.embeddings = embeddings;
    options.attention = true;
    Model model = tiny_transformer();
    const auto report = prepare_qat(model, options);
    ASSERT_EQ(report.size(), 7U);
    for (const LayerQuantization& layer : report) EXPECT_TRUE(layer.quantized) << layer.node << layer.reason;
    GraphModule module(model);
    EXPECT_EQ(module.role("table"), Role::kWeight);
    module.train();
    for (int step = 0; step < 5; ++step) module.forward(token_ids(step)).sum().backward();
    EXPECT_TRUE(module.tensor("table").grad().defined());
    const Model converted = convert(module, options);
    verify(converted);
    const bool rows = std::string(embeddings) == "row";
    EXPECT_EQ(converted.graph.initializer("table_int8")->tensor.dtype, DType::kInt8);
    EXPECT_EQ(converted.graph.initializer("table_scale")->tensor.dims.size(), rows ? 1U : 0U);
    std::map<std::string, const Node*> producers;
    for (const Node& node : converted.graph.nodes) producers[node.outputs[0]] = &node;
    for (const Node& node : converted.graph.nodes) {
      if (node.op_type != "MatMul") continue;
      for (const std::string& input : node.inputs) {
        ASSERT_TRUE(producers.contains(input)) << node.name;
        EXPECT_EQ(producers[input]->op_type, "DequantizeLinear") << node.name;
      }
    }
    GraphModule deployed(converted), reference(tiny_transformer());
    const at::Tensor ids = token_ids(20);
    EXPECT_GT(snr_of(evaluated(module, ids), evaluated(deployed, ids)), 45);
    EXPECT_GT(snr_of(evaluated(reference, ids), evaluated(deployed, ids)), 20);
  }
}

TEST(QuantizerConfig, QuantizesLinearLayersFromAStepOn) {
  QuantizerConfig config;
  config.quantization_begin = 2;
  config.not_to_quantize = {"head"};
  GraphModule module(qat_net()), reference(qat_net());
  Quantizer quantizer(module, config);
  quantizer.quantize();
  module.train();
  const at::Tensor x = qat_images(0);
  for (int step = 0; step < 2; ++step) {
    EXPECT_TRUE(at::allclose(module.forward(x), evaluated(reference, x), 1e-5, 1e-6)) << step;
    quantizer.step();
  }
  EXPECT_FALSE(at::allclose(module.forward(x), evaluated(reference, x), 1e-5, 1e-6));
  std::vector<std::string> quantized;
  for (const Node& node : module.structure().graph.nodes) {
    if (node.op_type == "FakeQuantize") quantized.push_back(node.outputs[0]);
  }
  // The weight, the input, and the output (the Relu behind it stands in its quantizer or before it).
  EXPECT_THAT(quantized, testing::UnorderedElementsAre("hidden.weight_quantized", "p", "h"));
  EXPECT_EQ(module.tensor("hidden.weight_quantizer.scale").numel(), 1);
}

TEST(QuantizerConfig, LeavesOutputsFloatWhereAsked) {
  QuantizerConfig config;
  config.not_to_requantize_output = {"hidden", "head"};
  const auto module = convert_model_for_qat(GraphModule(qat_net()), config);
  int activations = 0;
  for (const Node& node : module->structure().graph.nodes) {
    activations += node.op_type == "FakeQuantize" && !node.outputs[0].ends_with("weight_quantized");
  }
  EXPECT_EQ(activations, 2);  // the two inputs
}

TEST(QuantizerConfig, RefusesWhatItCannotMean) {
  const GraphModule module(qat_net());
  const auto refused = [&](const std::function<void(QuantizerConfig&)>& change) {
    QuantizerConfig config;
    change(config);
    EXPECT_THROW(convert_model_for_qat(module, config), Error);
  };
  refused([](QuantizerConfig& c) { c.weight_bits = 9; });
  refused([](QuantizerConfig& c) { c.activation_bits = 1; });
  refused([](QuantizerConfig& c) { c.quantization_begin = -1; });
  refused([](QuantizerConfig& c) { c.quantization_begin = 5; });
  refused([](QuantizerConfig& c) { c.mode = "dynamic"; });
  refused([](QuantizerConfig& c) { c.not_to_quantize = {"h"}; });  // nothing is left
}

}  // namespace
}  // namespace mc
