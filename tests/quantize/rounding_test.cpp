#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/learn_rounding.h"
#include "mc/quantize/rounding_loss.h"
#include "mc/quantize/rounding_regions.h"
#include "mc/quantize/soft_rounding.h"
#include "mc/quantize/weight_range.h"
#include "tests/base/error_of.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

void add_random(Model& model, const std::string& name, std::vector<int64_t> dims, double deviation,
                double mean = 0) {
  const at::Tensor t = (at::randn(dims) * deviation + mean).contiguous();
  model.graph.add_initializer(
      name,
      Tensor::floats(dims, std::span<const float>(t.data_ptr<float>(), static_cast<size_t>(t.numel()))));
}

// Every kind of layer: a plain, a depthwise, a grouped and a transposed convolution, a residual add, a matrix
// product and a Gemm.
Model rounding_layers() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8,8] x) => (float[N,5] y)
    {
      [stem] c1 = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "stem.weight", "stem.bias")
      [relu1] r1 = Relu (c1)
      [depth] c2 = Conv <kernel_shape = [3,3], pads = [1,1,1,1], group = 8> (r1, "depth.weight")
      [bn] b2 = BatchNormalization (c2, "bn.weight", "bn.bias", "bn.mean", "bn.var")
      [relu2] r2 = Relu (b2)
      [grouped] c3 = Conv <kernel_shape = [3,3], pads = [1,1,1,1], group = 2> (r2, "grouped.weight")
      [add] s = Add (c3, r1)
      [relu3] r3 = Relu (s)
      [up] u = ConvTranspose <kernel_shape = [2,2], strides = [2,2]> (r3, "up.weight")
      [pool] p = GlobalAveragePool (u)
      [flatten] f = Flatten (p)
      [product] m = MatMul (f, "product.weight")
      [bias] mb = Add (m, "product.bias")
      [relu4] r4 = Relu (mb)
      [fc] y = Gemm <transB = 1> (r4, "fc.weight", "fc.bias")
    })");
  at::manual_seed(3);
  add_random(model, "stem.weight", {8, 3, 3, 3}, 0.3);
  add_random(model, "stem.bias", {8}, 0.2);
  add_random(model, "depth.weight", {8, 1, 3, 3}, 0.4);
  add_random(model, "bn.weight", {8}, 0.2, 1);
  add_random(model, "bn.bias", {8}, 0.2);
  add_random(model, "bn.mean", {8}, 0.2);
  add_random(model, "bn.var", {8}, 0.1, 2);
  add_random(model, "grouped.weight", {8, 4, 3, 3}, 0.3);
  add_random(model, "up.weight", {8, 6, 2, 2}, 0.4);
  add_random(model, "product.weight", {6, 16}, 0.5);
  add_random(model, "product.bias", {16}, 0.1);
  add_random(model, "fc.weight", {5, 16}, 0.4);
  add_random(model, "fc.bias", {5}, 0.1);
  return model;
}

// Half a transformer block after the other, with an attention mask that passes by the blocks.
Model transformer() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,6,8] x, float[N,6] mask) => (float[N,6,8] y)
    <float zero = {0}, float one = {1}, float far = {-100}, int64[1] axis = {1}>
    {
      [in_add] h = Add (x, "position")
      [invert] inverse = Sub (one, mask)
      [push] bias = Mul (inverse, far)
      [reach] biases = Unsqueeze (bias, axis)
      [ln1] n1 = LayerNormalization (h, "ln1.weight", "ln1.bias")
      [q] q1 = MatMul (n1, "q.weight")
      [k] k1 = MatMul (n1, "k.weight")
      [v] v1 = MatMul (n1, "v.weight")
      [kt] k2 = Transpose <perm = [0,2,1]> (k1)
      [scores] s1 = MatMul (q1, k2)
      [masked] s2 = Add (s1, biases)
      [soft] s3 = Softmax <axis = -1> (s2)
      [mix] a1 = MatMul (s3, v1)
      [o] o1 = MatMul (a1, "o.weight")
      [add1] h1 = Add (h, o1)
      [ln2] n2 = LayerNormalization (h1, "ln2.weight", "ln2.bias")
      [up] u1 = MatMul (n2, "up.weight")
      [up_bias] u2 = Add (u1, "up.bias")
      [act] u3 = Relu (u2)
      [down] d1 = MatMul (u3, "down.weight")
      [add2] h2 = Add (h1, d1)
      [ln3] n3 = LayerNormalization (h2, "ln3.weight", "ln3.bias")
      [head] y = MatMul (n3, "head.weight")
    })");
  at::manual_seed(5);
  add_random(model, "position", {6, 8}, 0.5);
  for (const std::string name : {"ln1", "ln2", "ln3"}) {
    add_random(model, name + ".weight", {8}, 0.1, 1);
    add_random(model, name + ".bias", {8}, 0.1);
  }
  for (const std::string name : {"q", "k", "v", "o", "head"})
    add_random(model, name + ".weight", {8, 8}, 0.4);
  add_random(model, "up.weight", {8, 16}, 0.4);
  add_random(model, "up.bias", {16}, 0.1);
  add_random(model, "down.weight", {16, 8}, 0.4);
  return model;
}

std::shared_ptr<const Dataset> rounding_samples_of(int64_t count) {
  return random_dataset(count, {{"x", at::kFloat, {3, 8, 8}}}, 7);
}

QuantizeOptions four_bits(const std::string& rounding) {
  QuantizeOptions options;
  options.mode = "ptq";
  options.target = "openvino";  // has integer kernels for every kind of layer
  options.weight_bits = 4;
  options.samples = 128;
  options.rounding = rounding;
  options.weight_range = "mse";
  options.rounding_samples = 128;
  options.rounding_iterations = 150;
  return options;
}

// Calibrated, with weights rounded to nearest.
std::shared_ptr<GraphModule> calibrated(
    Model model, QuantizeOptions options,
    const std::shared_ptr<const Dataset>& dataset = rounding_samples_of(128)) {
  options.rounding = "nearest";
  prepare_qat(model, options);
  auto module = std::make_shared<GraphModule>(std::move(model));
  calibrate(*module, dataset, {}, options);
  module->eval();
  return module;
}

double model_error(GraphModule& module, const Model& model, uint64_t seed) {
  const at::NoGradGuard no_grad;
  GraphModule reference(model);
  reference.eval();
  at::manual_seed(seed);
  const at::Tensor x = at::randn({256, 3, 8, 8});
  return (module.forward(x) - reference.forward(x)).square().mean().item<double>();
}

std::map<std::string, at::Tensor> levels_of(const GraphModule& module) {
  std::map<std::string, at::Tensor> levels;
  const Model model = module.graph();
  for (const WeightQuantizer& quantizer : weight_quantizers(model)) {
    levels[quantizer.initializer] = quantizer.weight * quantizer.shaped(quantizer.state.scale).reciprocal();
  }
  return levels;
}

std::vector<std::vector<std::string>> layers_of(const std::vector<RoundingRegion>& regions) {
  std::vector<std::vector<std::string>> layers;
  for (const RoundingRegion& region : regions) layers.push_back(region.layers);
  return layers;
}

std::vector<std::string> names_of(const Model& model, const RoundingRegion& region) {
  std::vector<std::string> names;
  for (const size_t node : region.nodes) names.push_back(model.graph.nodes[node].name);
  return names;
}

TEST(RoundingLoss, RectifiedSigmoidReachesItsEnds) {
  const at::Tensor v = at::tensor({-100.0F, -2.4F, 0.0F, 1.0F, 2.4F, 100.0F});
  const at::Tensor h = rectified_sigmoid(v);
  for (int64_t i = 0; i < v.numel(); ++i) {
    const double sigmoid = 1 / (1 + std::exp(-v[i].item<double>()));
    EXPECT_NEAR(h[i].item<double>(), std::min(1.0, std::max(0.0, sigmoid * 1.2 - 0.1)), 1e-6);
  }
  EXPECT_EQ(h[1].item<float>(), 0);
  EXPECT_EQ(h[4].item<float>(), 1);
  const at::Tensor wanted = at::linspace(0, 1, 21);
  EXPECT_TRUE(rectified_sigmoid(inverse_rectified_sigmoid(wanted)).allclose(wanted, 1e-5, 1e-6));
}

TEST(RoundingLoss, RegularizerIsZeroAtWholeLevelsOnly) {
  const at::Tensor ends = inverse_rectified_sigmoid(at::tensor({0.0F, 1.0F, 1.0F}));
  EXPECT_NEAR(rounding_regularizer(ends, 2).item<double>(), 0, 1e-5);
  const at::Tensor middle = inverse_rectified_sigmoid(at::tensor({0.5F, 0.75F}));
  EXPECT_NEAR(rounding_regularizer(middle, 3).item<double>(), 1 + (1 - 0.125), 1e-5);
  EXPECT_DOUBLE_EQ(rounding_beta(0), 20);
  EXPECT_DOUBLE_EQ(rounding_beta(0.5), 11);
  EXPECT_DOUBLE_EQ(rounding_beta(1), 2);
}

TEST(RoundingLoss, GradientIsAutograds) {
  at::manual_seed(1);
  const at::Tensor target = at::rand({50});
  for (const double beta : {2.0, 7.5, 20.0}) {
    at::Tensor v = (at::randn({50}) * 1.5).set_requires_grad(true);
    const at::Tensor h = rectified_sigmoid(v);
    ((h - target).square().sum() + rounding_regularizer(v, beta) * 0.3).backward();
    const at::NoGradGuard no_grad;
    const at::Tensor by_h = (h - target) * 2;
    EXPECT_TRUE(rounding_gradient(v, by_h, 0.3, beta).allclose(v.grad(), 1e-4, 1e-5)) << beta;
    EXPECT_FALSE(rounding_gradient(v, by_h, 0, beta).allclose(v.grad(), 1e-4, 1e-5)) << beta;
  }
}

TEST(WeightRange, FindsTheLeastErrorOfEachChannel) {
  QuantizeOptions options = four_bits("nearest");
  options.weight_range = "max";
  const auto held = calibrated(rounding_layers(), options);
  const Model model = held->graph();
  for (const WeightQuantizer& quantizer : weight_quantizers(model)) {
    const at::Tensor scale = least_squares_scale(quantizer);
    const at::Tensor rows = quantizer.weight.transpose(0, quantizer.options.axis).flatten(1);
    for (int64_t c = 0; c < rows.size(0); ++c) {
      const auto error = [&](double s) {
        return ((rows[c] / s).round().clamp(-7, 7) * s - rows[c]).square().sum().item<double>();
      };
      const double most = quantizer.state.scale[c].item<double>();
      double least = error(most);
      for (int step = 1; step <= 1000; ++step) least = std::min(least, error(most * step / 1000));
      const double found = error(scale[c].item<double>());
      EXPECT_LE(found, error(most) * 1.0001);
      EXPECT_LE(found, least * 1.25 + 1e-9) << quantizer.initializer << " " << c;
    }
  }
}

TEST(WeightRange, FollowsTheOption) {
  const auto scales = [](const std::string& range, int64_t bits) {
    QuantizeOptions options = four_bits("nearest");
    options.weight_range = range;
    options.weight_bits = bits;
    return calibrated(rounding_layers(), options)->tensor("stem.weight_quantizer.scale").clone();
  };
  EXPECT_TRUE(scales("auto", 8).equal(scales("max", 8)));
  EXPECT_TRUE(scales("auto", 4).equal(scales("max", 4)));  // rounding to nearest clips nothing well
  QuantizeOptions learned = four_bits("adaround");
  learned.weight_range = "auto";
  EXPECT_TRUE(learned.weights_by_error(4));
  EXPECT_TRUE((scales("mse", 3) < scales("max", 3)).any().item<bool>());
}

TEST(RoundingRegions, OfAResidualNet) {
  const auto held = calibrated(rounding_layers(), four_bits("nearest"));
  GraphModule& module = *held;
  const Model model = module.graph();
  const auto layers = layer_regions(model);
  EXPECT_THAT(layers_of(layers),
              ElementsAre(ElementsAre("stem"), ElementsAre("depth"), ElementsAre("grouped"),
                          ElementsAre("up"), ElementsAre("product"), ElementsAre("fc")));
  EXPECT_EQ(layers[0].exit, "r1");
  EXPECT_THAT(layers[0].entries, ElementsAre("x_quantized"));
  EXPECT_EQ(layers[1].exit, "r2");  // through the folded batch norm
  EXPECT_EQ(layers[4].exit, "r4");  // through the bias
  const auto blocks = block_regions(model);
  EXPECT_THAT(layers_of(blocks), ElementsAre(ElementsAre("stem"), ElementsAre("depth", "grouped"),
                                             ElementsAre("up"), ElementsAre("product"), ElementsAre("fc")));
  EXPECT_THAT(blocks[1].entries, ElementsAre("r1"));
  EXPECT_EQ(blocks[1].exit, "r3");
  EXPECT_THAT(blocks[1].weights, ElementsAre("depth.weight_quantized", "grouped.weight_quantized"));
}

TEST(RoundingRegions, OfATransformer) {
  const auto dataset = random_dataset(64, {{"x", at::kFloat, {6, 8}}, {"mask", at::kFloat, {6}}}, 9);
  QuantizeOptions options = four_bits("nearest");
  const auto held = calibrated(transformer(), options, dataset);
  GraphModule& module = *held;
  const Model model = module.graph();
  const auto blocks = block_regions(model);
  ASSERT_THAT(layers_of(blocks),
              ElementsAre(ElementsAre("q", "k", "v", "o"), ElementsAre("up", "down"), ElementsAre("head")));
  EXPECT_THAT(names_of(model, blocks[0]), testing::IsSupersetOf({"ln1", "q", "kt", "mix", "o", "add1"}));
  EXPECT_THAT(names_of(model, blocks[1]), testing::IsSupersetOf({"ln2", "up", "down", "add2"}));
  EXPECT_EQ(blocks[0].entries.size(), 2U);
  EXPECT_THAT(blocks[0].entries, testing::Contains("biases"));
  EXPECT_EQ(blocks[1].entries.size(), 1U);
  EXPECT_EQ(layer_regions(model).size(), 7U);

  const auto learned = learn_rounding(module, dataset, {}, four_bits("brecq"));
  ASSERT_EQ(learned.size(), 3U);
  for (const LearnedRounding& block : learned) {
    EXPECT_LT(block.error_learned, block.error_nearest) << block.layers[0];
  }
}

TEST(LearnRounding, BeatsNearestAndStaysWithinOneLevel) {
  for (const std::string rounding : {"adaround", "brecq"}) {
    const auto held = calibrated(rounding_layers(), four_bits("nearest"));
    GraphModule& module = *held;
    const double nearest = model_error(module, rounding_layers(), 11);
    const auto before = levels_of(module);
    const auto learned = learn_rounding(module, rounding_samples_of(128), {}, four_bits(rounding));
    EXPECT_EQ(learned.size(), rounding == "brecq" ? 5U : 6U);
    for (const LearnedRounding& region : learned) {
      EXPECT_LE(region.error_learned, region.error_nearest) << region.layers[0];
    }
    EXPECT_LT(model_error(module, rounding_layers(), 11), nearest)
        << rounding;  // on samples that it never saw
    int64_t moved = 0;
    for (const auto& [name, level] : levels_of(module)) {
      const at::Tensor& was = before.at(name);
      const at::Tensor whole = level.round();
      EXPECT_TRUE(level.allclose(whole, 0, 1e-3)) << name;
      const at::Tensor steps = whole - was.floor();
      const at::Tensor inside = was.abs() < 7;
      EXPECT_TRUE(steps.eq(0).logical_or(steps.eq(1)).logical_or(inside.logical_not()).all().item<bool>())
          << name;
      EXPECT_LE(whole.abs().max().item<double>(), 7) << name;
      moved += whole.ne(was.round().clamp(-7, 7)).sum().item<int64_t>();
    }
    EXPECT_GT(moved, 20) << rounding;
    // What is exported is what was learned.
    const Model converted = convert(module, four_bits(rounding));
    const auto levels = levels_of(module);
    for (const auto& [name, level] : levels) {
      const auto stored = converted.graph.initializer(name + "_int8")->tensor.as_ints();
      const at::Tensor whole = level.round().to(at::kLong).contiguous();
      EXPECT_TRUE(std::equal(stored.begin(), stored.end(), whole.const_data_ptr<int64_t>())) << name;
    }
  }
}

TEST(LearnRounding, GivesTheSameTwice) {
  const auto learn = [] {
    const auto held = calibrated(rounding_layers(), four_bits("nearest"));
    GraphModule& module = *held;
    QuantizeOptions options = four_bits("brecq");
    options.rounding_iterations = 40;
    learn_rounding(module, rounding_samples_of(64), {}, options);
    return levels_of(module);
  };
  const auto first = learn(), second = learn();
  for (const auto& [name, level] : first) EXPECT_TRUE(level.equal(second.at(name))) << name;
}

TEST(LearnRounding, KeepsPrunedWeightsAtZero) {
  Model model = rounding_layers();
  GraphModule plain(model);
  at::manual_seed(2);
  const at::Tensor mask = at::rand({8, 4, 3, 3}) < 0.4;
  plain.set_mask("grouped.weight", mask);
  const auto held = calibrated(plain.graph(), four_bits("nearest"));
  GraphModule& module = *held;
  learn_rounding(module, rounding_samples_of(64), {}, four_bits("adaround"));
  EXPECT_TRUE(module.tensor("grouped.weight").masked_select(mask.logical_not()).eq(0).all().item<bool>());
  EXPECT_GT(module.tensor("grouped.weight").ne(0).sum().item<int64_t>(), 0);
}

TEST(LearnRounding, TakesABatchThatIsFixed) {
  Model model = rounding_layers();
  model.graph.inputs[0].type.shape = std::vector<Dim>{Dim(4), Dim(3), Dim(8), Dim(8)};
  const auto held = calibrated(model, four_bits("nearest"), rounding_samples_of(16));
  GraphModule& module = *held;
  QuantizeOptions options = four_bits("adaround");
  options.rounding_iterations = 100;
  for (const LearnedRounding& layer : learn_rounding(module, rounding_samples_of(16), {}, options)) {
    EXPECT_LE(layer.error_learned, layer.error_nearest);
    EXPECT_GT(layer.error_nearest, 0);
  }
  EXPECT_THAT(error_of([&] { learn_rounding(module, rounding_samples_of(3), {}, options); }),
              HasSubstr("fixed to 4"));
}

TEST(LearnRounding, RefusesWhatItCannotUse) {
  const auto held = calibrated(rounding_layers(), four_bits("nearest"));
  GraphModule& module = *held;
  const at::Tensor before = module.tensor("fc.weight").clone();
  EXPECT_THAT(error_of([&] { learn_rounding(module, rounding_samples_of(8), {}, four_bits("nearest")); }),
              HasSubstr("learns nothing"));
  QuantizeOptions none = four_bits("adaround");
  none.rounding_iterations = 0;
  EXPECT_THAT(error_of([&] { learn_rounding(module, rounding_samples_of(8), {}, none); }),
              HasSubstr("iterations"));
  GraphModule plain(rounding_layers());
  EXPECT_THAT(error_of([&] { learn_rounding(plain, rounding_samples_of(8), {}, four_bits("adaround")); }),
              HasSubstr("prepare_qat"));
  set_interrupted(true);
  EXPECT_THAT(error_of([&] { learn_rounding(module, rounding_samples_of(8), {}, four_bits("adaround")); }),
              HasSubstr("interrupted"));
  set_interrupted(false);
  EXPECT_TRUE(module.tensor("fc.weight").equal(before));
}

}  // namespace
}  // namespace mc
