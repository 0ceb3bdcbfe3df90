#include "mc/quantize/calibrate.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/ops/fake_quantize.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void add_weight(Model& model, const std::string& name, std::vector<int64_t> dims, double mean,
                double deviation) {
  const at::Tensor t = (at::randn(dims) * deviation + mean).contiguous();
  model.graph.add_initializer(
      name,
      Tensor::floats(dims, std::span<const float>(t.data_ptr<float>(), static_cast<size_t>(t.numel()))));
}

// Fully convolutional but for the pooling before the classifier, so that it takes images of any size.
Model any_size_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,H,W] x) => (float[N,5] y)
    {
      [conv1] c1 = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "conv1.weight")
      [bn1] b1 = BatchNormalization (c1, "bn1.weight", "bn1.bias", "bn1.mean", "bn1.var")
      [relu1] r1 = Relu (b1)
      [conv2] c2 = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (r1, "conv2.weight")
      [add] s = Add (c2, r1)
      [pool] p = GlobalAveragePool (s)
      [flatten] f = Flatten (p)
      [fc] y = Gemm <transB = 1> (f, "fc.weight", "fc.bias")
    })");
  at::manual_seed(3);
  add_weight(model, "conv1.weight", {8, 3, 3, 3}, 0, 0.3);
  add_weight(model, "conv2.weight", {8, 8, 3, 3}, 0, 0.2);
  add_weight(model, "bn1.weight", {8}, 1, 0.2);
  add_weight(model, "bn1.bias", {8}, 0, 0.2);
  add_weight(model, "bn1.mean", {8}, 0, 0.2);
  add_weight(model, "bn1.var", {8}, 2, 0.1);
  add_weight(model, "fc.weight", {5, 8}, 0, 0.4);
  add_weight(model, "fc.bias", {5}, 0, 0.1);
  return model;
}

std::shared_ptr<const Dataset> images(int64_t count) {
  return random_dataset(count, {{"x", at::kFloat, {3, 8, 8}}}, 7);
}

// Gives the tensors one after the other, samples numbered throughout.
NextBatch batches_of(const std::vector<at::Tensor>& tensors) {
  auto next = std::make_shared<std::pair<size_t, int64_t>>(0, 0);
  return [tensors, next]() -> std::optional<Batch> {
    if (next->first == tensors.size()) return std::nullopt;
    Batch batch;
    batch.inputs = {tensors[next->first++]};
    for (int64_t i = 0; i < batch.inputs[0].size(0); ++i) batch.indices.push_back(next->second++);
    return batch;
  };
}

GraphModule prepared(const QuantizeOptions& options) {
  Model model = any_size_net();
  prepare_qat(model, options);
  return GraphModule(std::move(model));
}

std::vector<Node> activation_quantizers(const GraphModule& module) {
  std::vector<Node> nodes;
  for (const Node& node : module.structure().graph.nodes) {
    if (quantizes_activation(node)) nodes.push_back(node);
  }
  return nodes;
}

template <class Body>
std::string error_in(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

double snr_in_db(const at::Tensor& reference, const at::Tensor& other) {
  return 10 * std::log10(reference.square().sum().item<double>() /
                         (reference - other).square().sum().item<double>());
}

TEST(Calibrate, FindsTheExtremesOfTheFloatModel) {
  QuantizeOptions options;
  GraphModule module = prepared(options);
  at::manual_seed(5);
  // Batches of different sizes and shapes.
  const std::vector<at::Tensor> inputs = {at::randn({4, 3, 8, 8}), at::randn({1, 3, 12, 6}),
                                          at::randn({2, 3, 5, 9})};
  const ActivationStatistics statistics = collect_statistics(module, batches_of(inputs));
  set_ranges(module, statistics, "min_max");
  EXPECT_EQ(statistics.samples, 7);
  GraphModule reference(any_size_net());
  reference.eval();
  const at::NoGradGuard no_grad;
  const std::vector<Node> nodes = activation_quantizers(module);
  ASSERT_GE(nodes.size(), 5u);
  for (const Node& node : nodes) {
    const std::string value = node.outputs[0] == "x_quantized" ? "x" : node.outputs[0];
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const at::Tensor& input : inputs) {
      const at::Tensor seen = reference.forward_tapped({input}, {value}).values[0];
      low = std::min(low, seen.min().item<double>());
      high = std::max(high, seen.max().item<double>());
    }
    EXPECT_NEAR(module.tensor(node.inputs[3]).item<double>(), low, 1e-5) << value;
    EXPECT_NEAR(module.tensor(node.inputs[4]).item<double>(), high, 1e-5) << value;
    const FakeQuantizeOptions grid = fake_quantize_options(node);
    const auto [scale, zero] = choose_qparams(module.tensor(node.inputs[3]), module.tensor(node.inputs[4]),
                                              grid.quant_min, grid.quant_max, grid.symmetric);
    EXPECT_TRUE(scale.equal(module.tensor(node.inputs[1]))) << value;
    EXPECT_TRUE(zero.equal(module.tensor(node.inputs[2]))) << value;
  }
}

TEST(Calibrate, ServesEveryCalibratorFromOnePass) {
  GraphModule module = prepared({});
  const at::Tensor x = at::randn({16, 3, 8, 8});
  int passes = 0;
  const NextBatch once = batches_of({x});
  const ActivationStatistics statistics = collect_statistics(module, [&] {
    ++passes;
    return once();
  });
  EXPECT_EQ(passes, 2);  // the batch, and the end
  const Node first = activation_quantizers(module).front();
  double widest = 0;
  for (const std::string& name : calibrator_names()) {
    set_ranges(module, statistics, name);
    const double high = module.tensor(first.inputs[4]).item<double>();
    if (name == "min_max") widest = high;
    EXPECT_LE(high, widest) << name;
    EXPECT_GT(high, 0.3 * widest) << name;
  }
}

TEST(Calibrate, TakesWeightsAsTheyAreNow) {
  GraphModule module = prepared({});
  {
    const at::NoGradGuard no_grad;
    module.tensor("conv1.weight").mul_(3);
    module.tensor("conv2.weight").mul_(2);
  }
  QuantizeOptions options;
  options.samples = 8;
  calibrate(module, images(8), {}, options);
  const Model model = any_size_net();
  GraphModule plain(model);
  const at::NoGradGuard no_grad;
  const at::Tensor factor = plain.tensor("bn1.weight") * (plain.tensor("bn1.var") + 1e-5).rsqrt();
  const at::Tensor folded = plain.tensor("conv1.weight") * 3 * factor.reshape({8, 1, 1, 1});
  for (const auto& [name, weight] : std::vector<std::pair<std::string, at::Tensor>>{
           {"conv1.weight", folded}, {"conv2.weight", plain.tensor("conv2.weight") * 2}}) {
    const at::Tensor limit = weight.abs().flatten(1).amax(1);
    EXPECT_TRUE(module.tensor(name + "_quantizer.scale").allclose(limit / 127, 1e-5, 0)) << name;
  }
}

TEST(Calibrate, NamesValueNodeAndSampleThatAreNotFinite) {
  GraphModule module = prepared({});
  at::Tensor x = at::randn({4, 3, 8, 8});
  x[2][1][3][3] = std::numeric_limits<float>::quiet_NaN();
  const std::string message =
      error_in([&] { collect_statistics(module, batches_of({at::randn({3, 3, 8, 8}), x})); });
  EXPECT_THAT(message, AllOf(HasSubstr("input 'x'"), HasSubstr("sample 5"), HasSubstr("holds NaN")));
}

TEST(Calibrate, RefusesWhatItCannotUse) {
  GraphModule module = prepared({});
  EXPECT_THAT(error_in([&] { collect_statistics(module, batches_of({})); }), HasSubstr("no samples"));
  EXPECT_THAT(error_in([&] { collect_statistics(module, batches_of({at::randn({0, 3, 8, 8})})); }),
              HasSubstr("no samples"));
  GraphModule plain(any_size_net());
  EXPECT_THAT(error_in([&] { collect_statistics(plain, batches_of({at::randn({1, 3, 8, 8})})); }),
              HasSubstr("prepare_qat"));
  const ActivationStatistics ranges =
      collect_statistics(module, batches_of({at::randn({1, 3, 8, 8})}), {.histograms = false});
  EXPECT_THAT(error_in([&] { set_ranges(module, ranges, "entropy"); }), HasSubstr("histogram"));
  EXPECT_THAT(error_in([&] { set_ranges(module, {}, "min_max"); }), HasSubstr("nothing was seen"));
}

TEST(QuantizePtq, GivesAnIntegerModelNearTheFloatOne) {
  const Model model = any_size_net();
  GraphModule reference(model);
  reference.eval();
  const at::NoGradGuard no_grad;
  at::manual_seed(9);
  const at::Tensor x = at::randn({64, 3, 8, 8});
  const at::Tensor expected = reference.forward(x);
  for (const std::string& calibrator : calibrator_names()) {
    QuantizeOptions options;
    options.mode = "ptq";
    options.calibrator = calibrator;
    options.samples = 100;
    const QuantizedModel quantized = quantize_ptq(model, images(300), {}, options);
    EXPECT_EQ(quantized.samples, 100);
    EXPECT_EQ(quantized.layers.size(), 3u);
    int pairs = 0;
    for (const Node& node : quantized.model.graph.nodes) {
      EXPECT_NE(node.op_type, "BatchNormalization");
      pairs += node.op_type == "QuantizeLinear";
    }
    EXPECT_GE(pairs, 5);
    GraphModule module(quantized.model);
    module.eval();
    EXPECT_GT(snr_in_db(expected, module.forward(x)), 20) << calibrator;
    EXPECT_THAT(error_in([&] { quantize_ptq(quantized.model, images(8), {}, options); }),
                HasSubstr("already quantized"));
  }
}

TEST(QuantizePtq, FillsABatchThatIsFixed) {
  Model model = any_size_net();
  for (ValueInfo& input : model.graph.inputs) {
    if (input.name == "x") input.type.shape = std::vector<Dim>{Dim(4), Dim(3), Dim(8), Dim(8)};
  }
  QuantizeOptions options;
  options.samples = 10;
  EXPECT_EQ(quantize_ptq(model, images(50), {}, options).samples, 8);
  EXPECT_THAT(error_in([&] { quantize_ptq(model, images(3), {}, options); }), HasSubstr("fixed to 4"));
}

TEST(Spread, TakesSamplesAtEvenDistances) {
  const auto dataset = images(100);
  const auto some = spread(dataset, 4);
  EXPECT_EQ(some->size(), 4);
  const std::vector<int64_t> all_four = {0, 1, 2, 3}, chosen = {0, 25, 50, 75};
  EXPECT_TRUE(some->get(all_four).inputs[0].equal(dataset->get(chosen).inputs[0]));
  EXPECT_EQ(spread(dataset, 1000)->size(), 100);
  EXPECT_THROW(some->get(std::vector<int64_t>{4}), Error);
}

}  // namespace
}  // namespace mc
