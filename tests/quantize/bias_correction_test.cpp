#include "mc/quantize/bias_correction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/quantized_layers.h"
#include "tests/quantize/ptq_testing.h"

namespace mc {
namespace {

QuantizeOptions few_bits(const std::string& correction, int64_t weight_bits = 4) {
  QuantizeOptions options;
  options.weight_bits = weight_bits;
  options.bias_correction = correction;
  return options;
}

// For a target that has integer kernels for every kind of layer.
QuantizeOptions every_kind(const std::string& correction) {
  QuantizeOptions options = few_bits(correction);
  options.target = "openvino";
  return options;
}

// Prepared and calibrated by min-max.
std::shared_ptr<GraphModule> calibrated(Model model, const Samples& samples, const QuantizeOptions& options) {
  prepare_qat(model, options);
  auto module = std::make_shared<GraphModule>(std::move(model));
  calibrate(*module, samples, options);
  module->eval();
  return module;
}

// The rounding of weights and activations by ATen's own functions.
at::Tensor rounded_weight(const at::Tensor& w, int64_t bits, int64_t axis) {
  const int64_t limit = (int64_t{1} << (bits - 1)) - 1;
  const at::Tensor scale = w.transpose(0, axis).flatten(1).abs().amax(1) / limit;
  return at::fake_quantize_per_channel_affine(w, scale, at::zeros({w.size(axis)}, at::kInt), axis, -limit,
                                              limit);
}

at::Tensor rounded_input(const at::Tensor& x) {
  const double low = std::min(0.0, x.min().item<double>()), high = std::max(0.0, x.max().item<double>());
  const double scale = (high - low) / 255;
  return at::fake_quantize_per_tensor_affine(x, scale, -std::lround(low / scale), 0, 255);
}

at::Tensor mean_by_channel(const at::Tensor& y) {
  return y.transpose(1, -1).reshape({-1, y.size(1)}).mean(0);
}

TEST(BiasCorrection, TakesTheKnownErrorOfAGemmBack) {
  at::manual_seed(1);
  const at::Tensor w = at::randn({5, 9}), b = at::randn({5}), x = at::randn({40, 9}).abs();
  const Model model = ptq_model("N,9", "y = Gemm <transB = 1> (x, w, b)", {{"w", w}, {"b", b}});
  const Samples samples = samples_of({x.slice(0, 0, 16), x.slice(0, 16)});
  const at::Tensor error = at::linear(x, w) - at::linear(rounded_input(x), rounded_weight(w, 3, 0));
  for (const char* method : {"fast", "full"}) {
    const auto module = calibrated(model, samples, few_bits(method, 3));
    EXPECT_EQ(correct_biases(*module, samples, method), 1);
    EXPECT_TRUE(module->tensor("b").allclose(b + error.mean(0), 1e-4, 1e-5)) << method;
    EXPECT_GT(error.mean(0).abs().max().item<double>(), 0.05);
  }
}

TEST(BiasCorrection, TakesTheKnownErrorOfAPaddedConvolutionBack) {
  at::manual_seed(2);
  const at::Tensor w = at::randn({6, 4, 3, 3}), x = at::randn({10, 4, 7, 7}) + 0.5;
  // Batches of different sizes and shapes; no bias to begin with.
  const at::Tensor wide = at::randn({3, 4, 5, 9});
  const Model model =
      ptq_model("N,4,H,W", "y = Conv <group = 1, pads = [1,1,1,1], strides = [2,2]> (x, w)", {{"w", w}});
  const Samples samples = samples_of({x.slice(0, 0, 8), x.slice(0, 8), wide});
  const at::Tensor all_values = at::cat({x.flatten(), wide.flatten()});
  const double low = all_values.min().item<double>(), scale = (all_values.max().item<double>() - low) / 255;
  at::Tensor sum = at::zeros({6});
  int64_t count = 0;
  for (const at::Tensor& part : {x, wide}) {
    const at::Tensor q = at::fake_quantize_per_tensor_affine(part, scale, -std::lround(low / scale), 0, 255);
    const at::Tensor error = at::conv2d(part, w, {}, 2, 1) - at::conv2d(q, rounded_weight(w, 4, 0), {}, 2, 1);
    sum = sum + error.sum({0, 2, 3});
    count += error.numel() / 6;
  }
  for (const char* method : {"fast", "full"}) {
    const auto module = calibrated(model, samples, few_bits(method));
    EXPECT_EQ(correct_biases(*module, samples, method), 1);
    const Node conv = node_of(module->structure(), "y_float");
    ASSERT_EQ(conv.inputs.size(), 3U);
    EXPECT_TRUE(module->tensor(conv.inputs[2]).allclose(sum / count, 1e-4, 1e-5)) << method;
  }
}

// Layers of every kind: batch norm that is folded while quantizing, a branch, a bias that two layers share, a
// matrix product with an addition behind it and one without.
Model many_layers() {
  at::manual_seed(3);
  return ptq_model("N,3,8,8", R"(
      c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
      n1 = BatchNormalization(c1, g, b1, m, v)
      r1 = Relu(n1)
      c2 = Conv <pads = [1,1,1,1]> (r1, w2, b1)
      t = ConvTranspose(r1, w3)
      s = MaxPool <kernel_shape = [3,3]> (t)
      a = Add(c2, s)
      r2 = Relu(a)
      p = GlobalAveragePool(r2)
      f = Flatten(p)
      h = MatMul(f, w4)
      i = Relu(h)
      j = MatMul(i, w5)
      k = Add(b5, j)
      l = Sigmoid(k)
      y = Gemm(l, w6, b6)
      )",
                   {{"w1", at::randn({8, 3, 3, 3})},
                    {"b1", at::randn({8})},
                    {"g", at::rand({8}) + 0.5},
                    {"m", at::randn({8})},
                    {"v", at::rand({8}) + 4},
                    {"w2", at::randn({8, 8, 3, 3}) * 0.2},
                    {"w3", at::randn({8, 8, 3, 3}) * 0.2},
                    {"w4", at::randn({8, 12})},
                    {"w5", at::randn({12, 10})},
                    {"b5", at::randn({10})},
                    {"w6", at::randn({10, 5})},
                    {"b6", at::randn({1, 5})}});
}

TEST(BiasCorrection, TakesTheMeanErrorOfTheOutputs) {
  const Model model = many_layers();
  const at::Tensor x = at::randn({48, 3, 8, 8});
  const Samples samples = samples_of({x.slice(0, 0, 20), x.slice(0, 20)});
  const at::Tensor expected = infer(model, x);
  std::map<std::string, double> errors;
  for (const std::string method : {"none", "fast", "full"}) {
    const auto module = calibrated(model, samples, every_kind(method));
    EXPECT_EQ(correct_biases(*module, samples, method), method == "none" ? 0 : 6);
    const at::NoGradGuard no_grad;
    module->eval();
    const at::Tensor simulated = module->forward(x);
    errors[method] = (expected - simulated).mean(0).abs().max().item<double>();
    // What is exported computes the same.
    const Model integers = convert(*module, every_kind(method));
    EXPECT_GT(snr_of(simulated, infer(integers, x)), 30) << method;
  }
  EXPECT_LT(errors["fast"], 0.6 * errors["none"]);
  // The last layer's mean is made that of the float model.
  EXPECT_LT(errors["full"], 1e-4);
  EXPECT_GT(errors["none"], 0.02);
}

TEST(BiasCorrection, CorrectsEveryLayerOnWhatTheQuantizedModelFeedsIt) {
  const Model model = many_layers();
  const at::Tensor x = at::randn({32, 3, 8, 8});
  const Samples samples = samples_of(x.split(4));  // enough for a module to make its inference plan
  const auto module = calibrated(model, samples, every_kind("full"));
  correct_biases(*module, samples, "full");
  module->eval();
  const at::NoGradGuard no_grad;
  GraphModule reference(model);
  reference.eval();
  for (const auto& [value, simulated] : std::vector<std::pair<std::string, std::string>>{
           {"n1", "n1"}, {"c2", "c2"}, {"t", "t_float"}, {"h", "h"}, {"k", "k"}, {"y", "y"}}) {
    const at::Tensor expected = mean_by_channel(reference.forward_tapped({x}, {value}).values[0]);
    const at::Tensor actual = mean_by_channel(module->forward_tapped({x}, {simulated}).values[0]);
    EXPECT_LT((expected - actual).abs().max().item<double>(), 1e-4) << value;
  }
}

TEST(BiasCorrection, GivesEveryLayerABiasOfItsOwn) {
  const Model model = many_layers();
  const at::Tensor x = at::randn({8, 3, 8, 8});
  const auto module = calibrated(model, samples_of({x}), every_kind("fast"));
  const at::NoGradGuard no_grad;
  const at::Tensor before = module->forward(x);
  const std::vector<BiasedLayer> layers = give_biases(*module);
  ASSERT_EQ(layers.size(), 6U);
  std::set<std::string> biases;
  std::vector<int64_t> levels;
  for (const BiasedLayer& layer : layers) {
    biases.insert(layer.bias);
    levels.push_back(layer.level);
  }
  EXPECT_EQ(biases.size(), 6U);
  EXPECT_THAT(levels, testing::ElementsAre(1, 2, 2, 3, 4, 5));
  EXPECT_TRUE(module->forward(x).allclose(before, 1e-6, 1e-6));
  EXPECT_EQ(count_of(module->structure(), "Add"), 3);
}

TEST(BiasCorrection, LeavesLayersAloneWhoseBiasIsComputed) {
  at::manual_seed(4);
  const Model model =
      ptq_model("N,9", "c = ReduceMean <axes = [0], keepdims = 0> (x) d = MatMul(c, w) y = Gemm(x, w2, d)",
                {{"w", at::randn({9, 5})}, {"w2", at::randn({9, 5})}});
  const Samples samples = samples_of({at::randn({16, 9})});
  const auto module = calibrated(model, samples, few_bits("fast"));
  EXPECT_EQ(correct_biases(*module, samples, "fast"), 1);
}

TEST(BiasCorrection, RefusesWhatItCannotUse) {
  const Samples samples = samples_of({at::randn({4, 9})});
  const Model model = ptq_model("N,9", "y = MatMul(x, w)", {{"w", at::randn({9, 5})}});
  GraphModule plain(model);
  EXPECT_THROW(correct_biases(plain, samples, "fast"), Error);
  const auto module = calibrated(model, samples, few_bits("fast"));
  EXPECT_THROW(correct_biases(*module, samples, "slow"), Error);
  EXPECT_THROW(correct_biases(*module, samples_of({}), "fast"), Error);
}

TEST(QuantizePtqSteps, ReportsWhatEachDid) {
  Model model = ptq_model(
      "N,3,8,8",
      "a = Conv(x, w1) r = Relu(a) b = Conv(r, w2) p = GlobalAveragePool(b) f = Flatten(p) "
      "t = Tanh(f) y = Gemm(t, w3)",
      {{"w1", at::randn({8, 3, 3, 3})}, {"w2", at::randn({8, 8, 3, 3})}, {"w3", at::randn({8, 5})}});
  const auto data = random_dataset(32, {{"x", at::kFloat, {3, 8, 8}}}, 5);
  QuantizeOptions options;
  options.equalize = true;
  options.smooth = 0.5;
  options.bias_correction = "full";
  const QuantizedModel quantized = quantize_ptq(model, data, {}, options);
  std::map<std::string, int64_t> places;
  for (const QuantizeStep& step : quantized.steps) places[step.name] = step.places;
  EXPECT_EQ(places, (std::map<std::string, int64_t>{{"equalize", 1}, {"smooth", 1}, {"bias_correction", 3}}));
  const at::Tensor x = all(*data).inputs[0];
  EXPECT_GT(snr_of(infer(model, x), infer(quantized.model, x)), 20);
}

}  // namespace
}  // namespace mc
