#include "mc/prune/calibrated.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/calibration/layer_matrix.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

constexpr const char* kNetwork = R"(
  <ir_version: 8, opset_import: ["" : 17]>
  net (float[N,3,8,8] x) => (float[N,5] y)
  { a = Conv <pads = [1,1,1,1]> (x, "stem")     b = Relu (a)
    c = Conv <pads = [1,1,1,1]> (b, "body")     d = Relu (c)
    p = GlobalAveragePool (d)                   f = Flatten (p)
    y = Gemm <transB = 1> (f, "head") })";

Model network() {
  at::manual_seed(1);
  Model model = parse_model(kNetwork);
  model.graph.nodes[0].name = "stem_conv";
  model.graph.nodes[2].name = "body_conv";
  model.graph.add_initializer("stem", to_constant(at::randn({8, 3, 3, 3}) / 5));
  model.graph.add_initializer("body", to_constant(at::randn({16, 8, 3, 3}) / 8));
  model.graph.add_initializer("head", to_constant(at::randn({5, 16})));
  return model;
}

at::Tensor images(int64_t count) {
  at::manual_seed(2);
  const at::Tensor rough = at::randn({count, 3, 4, 4});
  return at::upsample_nearest2d(rough, {8, 8}) + at::randn({count, 3, 8, 8}) / 4;
}

Samples samples_from(const std::vector<at::Tensor>& batches) {
  Samples samples;
  for (const at::Tensor& batch : batches) samples.count += batch.size(0);
  samples.pass = [batches]() -> NextBatch {
    return [batches, next = size_t{0}]() mutable -> std::optional<Batch> {
      if (next == batches.size()) return std::nullopt;
      const at::Tensor batch = batches[next++];
      return Batch{{batch}, {}, std::vector<int64_t>(static_cast<size_t>(batch.size(0)))};
    };
  };
  return samples;
}

at::Tensor run(GraphModule& module, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  module.eval();
  return module.forward(x);
}

double output_error(const std::string& method, const Structure& structure, const at::Tensor& x) {
  GraphModule dense(network()), pruned(network());
  CalibratedOptions options{.method = method, .structure = structure};
  prune_layers(pruned, samples_from({x.slice(0, 0, 40), x.slice(0, 40)}), options);
  return (run(dense, x) - run(pruned, x)).square().mean().item<double>();
}

TEST(Calibrated, SparseGptErrsLessThanWandaAndMagnitude) {
  const at::Tensor x = images(80);
  for (const Structure& structure : {Structure(Unstructured{}), Structure(NToM{2, 4})}) {
    const double magnitude = output_error("magnitude", structure, x);
    const double wanda = output_error("wanda", structure, x);
    const double sparsegpt = output_error("sparsegpt", structure, x);
    EXPECT_LT(sparsegpt, 0.6 * wanda);
    EXPECT_LT(sparsegpt, 0.6 * magnitude);
  }
}

TEST(Calibrated, EveryMethodReachesTheSparsityAndLeavesMasks) {
  for (const std::string& method : calibrated_methods()) {
    GraphModule module(network());
    const CalibratedReport report =
        prune_layers(module, samples_from({images(16)}), {.method = method, .sparsity = 0.75});
    EXPECT_THAT(module.masked(), ::testing::UnorderedElementsAre("stem", "body", "head"));
    ASSERT_EQ(report.layers.size(), 3U);
    for (const CalibratedLayer& layer : report.layers) {
      const at::Tensor weight = module.tensor(layer.weight);
      // Wanda rounds in every row, the others in the layer.
      EXPECT_NEAR(layer.sparsity, 0.75, method == "wanda" ? 0.02 : 0.5 / weight.numel()) << method;
      EXPECT_TRUE(at::equal(weight.ne(0), module.mask(layer.weight))) << method;
      EXPECT_EQ(layer.error.has_value(), method == "sparsegpt");
    }
    EXPECT_EQ(report.samples, method == "magnitude" ? 0 : 16);
  }
}

TEST(Calibrated, PatternsGoAlongTheInputChannels) {
  for (const std::string& method : calibrated_methods()) {
    GraphModule module(network());
    const CalibratedReport report =
        prune_layers(module, samples_from({images(16)}), {.method = method, .structure = NToM{2, 4}});
    const at::Tensor body = module.tensor("body").detach().contiguous();
    const at::Tensor zeros = body.permute({0, 2, 3, 1}).reshape({-1, 4}).eq(0).sum(1);
    EXPECT_TRUE(at::equal(zeros, at::full_like(zeros, 2))) << method;
    EXPECT_FALSE(module.mask("stem").defined());  // three channels have no group of four
    ASSERT_EQ(report.left.size(), 1U);
    EXPECT_EQ(report.left[0].name, "stem_conv");
  }
}

// Wanda on a Gemm: each row loses the half with the least |w| |x|.
TEST(Calibrated, WandaIsThatOfEachRow) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4] x) => (float[N,2] y) { y = Gemm <transB = 1> (x, w) })");
  model.graph.add_initializer(
      "w", to_constant(at::tensor({1.F, 2.F, 3.F, 4.F, -9.F, 8.F, 7.F, -6.F}).view({2, 4})));
  GraphModule module(model);
  const at::Tensor x = at::tensor({10.F, 1.F, 1.F, 3.F, -10.F, 1.F, -1.F, 3.F}).view({2, 4});
  prune_layers(module, samples_from({x}), {.method = "wanda"});
  const at::Tensor expected = at::tensor({1.F, 0.F, 0.F, 4.F, -9.F, 0.F, 0.F, -6.F}).view({2, 4});
  EXPECT_TRUE(at::equal(module.tensor("w"), expected));
}

// Inputs far from zero: what a layer's outputs lose in the mean goes into its bias.
TEST(Calibrated, BiasesTakeUpTheMeanOfWhatIsLost) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4,6,6] x) => (float y) { y = Conv <group = 2> (x, w, b) })");
  at::manual_seed(7);
  const at::Tensor weight = at::randn({6, 2, 3, 3}), bias = at::randn({6});
  model.graph.add_initializer("w", to_constant(weight));
  model.graph.add_initializer("b", to_constant(bias));
  const at::Tensor x = at::randn({50, 4, 6, 6}) + at::arange(1, 5).view({1, 4, 1, 1});
  const at::Tensor y = at::conv2d(x, weight, bias, 1, at::IntArrayRef{0}, 1, 2);
  for (const std::string method : {"wanda", "sparsegpt"}) {
    double error[2];
    for (const bool correct : {false, true}) {
      GraphModule module(model);
      prune_layers(module, samples_from({x}), {.method = method, .correct_biases = correct});
      const at::Tensor difference = y - run(module, x);
      error[correct] = difference.square().mean().item<double>();
      EXPECT_EQ(at::equal(module.tensor("b"), bias), !correct);
      if (correct) {
        EXPECT_LT(difference.mean({0, 2, 3}).abs().max().item<double>(), 1e-3) << method;
      }
    }
    EXPECT_LT(error[1], 0.8 * error[0]) << method;
  }
}

TEST(Calibrated, LaterLayersSeeThePrunedOnes) {
  const at::Tensor x = images(60);
  GraphModule one(network()), other(network()), dense(network());
  prune_layers(one, samples_from({x}), {.sparsity = 0.7});
  prune_layers(other, samples_from({x}), {.sparsity = 0.7, .sequential = false});
  // The first layer reads the input either way.
  EXPECT_TRUE(at::equal(one.tensor("stem"), other.tensor("stem")));
  EXPECT_FALSE(at::equal(one.tensor("body"), other.tensor("body")));
  const double in_turn = (run(dense, x) - run(one, x)).square().mean().item<double>();
  EXPECT_LT(in_turn, run(dense, x).square().mean().item<double>());
}

TEST(Calibrated, BlocksAndSparsitiesByWeight) {
  GraphModule module(network());
  const CalibratedOptions options{
      .by_weight = {{"head", 0.25}}, .structure = Blocks{{4, 1}}, .keep_dense = {"st*"}};
  const CalibratedReport report = prune_layers(module, samples_from({images(16)}), options);
  EXPECT_FALSE(module.mask("stem").defined());
  ASSERT_EQ(report.layers.size(), 2U);
  const at::Tensor body = module.mask("body").permute({0, 2, 3, 1}).reshape({-1, 4}).sum(1);
  EXPECT_TRUE((body.eq(0) | body.eq(4)).all().item<bool>());
  EXPECT_NEAR(report.layers[0].sparsity, 0.5, 1e-9);
  EXPECT_NEAR(report.layers[1].sparsity, 0.25, 1e-9);
}

TEST(Calibrated, SparsityIsSpreadByWhatLayersDoToTheOutputs) {
  const at::Tensor x = images(32);
  double error[2];
  for (const std::string distribution : {"uniform", "sensitivity", "erk"}) {
    GraphModule module(network()), dense(network());
    const CalibratedReport report = prune_layers(
        module, samples_from({x}),
        {.method = "magnitude", .sparsity = 0.6, .distribution = distribution, .keep_dense = {"head"}});
    double zeros = 0, all = 0;
    for (const CalibratedLayer& layer : report.layers) {
      const auto elements = static_cast<double>(module.tensor(layer.weight).numel());
      zeros += layer.sparsity * elements;
      all += elements;
    }
    EXPECT_NEAR(zeros / all, 0.6, 2 / all) << distribution;
    const bool even = std::abs(report.layers[0].sparsity - report.layers[1].sparsity) < 0.01;
    EXPECT_EQ(even, distribution == "uniform");
    if (distribution == "erk") continue;
    error[distribution == "sensitivity"] = (run(dense, x) - run(module, x)).square().mean().item<double>();
  }
  EXPECT_LT(error[1], error[0]);
}

TEST(Calibrated, WhatIsPrunedStaysSoAndCounts) {
  for (const std::string& method : calibrated_methods()) {
    GraphModule module(network());
    const Samples samples = samples_from({images(16)});
    prune_layers(module, samples, {.method = "magnitude", .sparsity = 0.25});
    const at::Tensor before = module.mask("body").clone();
    const CalibratedReport report = prune_layers(module, samples, {.method = method, .sparsity = 0.5});
    EXPECT_FALSE((module.mask("body") & before.logical_not()).any().item<bool>()) << method;
    EXPECT_NEAR(report.layers[1].sparsity, 0.5, method == "wanda" ? 0.02 : 1e-3) << method;
    try {
      prune_layers(module, samples, {.method = method, .sparsity = 0.3});
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("already"));
    }
  }
}

void expect_refused(const CalibratedOptions& options, const Samples& samples, const std::string& says) {
  GraphModule module(network());
  const at::Tensor stem = module.tensor("stem").detach().clone();
  try {
    prune_layers(module, samples, options);
    ADD_FAILURE() << "no error: " << says;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(says));
  }
  EXPECT_TRUE(at::equal(module.tensor("stem"), stem)) << says;
  EXPECT_TRUE(module.masked().empty()) << says;
}

TEST(Calibrated, RefusesBadInputAndLeavesTheModuleAsItWas) {
  const Samples good = samples_from({images(8)});
  expect_refused({.method = "sparsgpt"}, good, "sparsegpt");
  expect_refused({.sparsity = 1}, good, "[0, 1)");
  expect_refused({.by_weight = {{"bodi", 0.5}}}, good, "body");
  expect_refused({.by_weight = {{"body", -1}}}, good, "body");
  expect_refused({.keep_dense = {"layer9"}}, good, "layer9");
  expect_refused({.keep_dense = {"*"}}, good, "no layer can be pruned");
  expect_refused({.distribution = "sensitive"}, good, "sensitivity");
  expect_refused({.distribution = "erk", .structure = NToM{}}, good, "N:M");
  expect_refused({.method = "magnitude", .distribution = "sensitivity"}, {}, "there are none");
  expect_refused({.damping = 0}, good, "damping");
  expect_refused({}, {}, "there are none");
  expect_refused({}, samples_from({}), "no samples");
  expect_refused({}, samples_from({images(8) * NAN}), "NaN");
  GraphModule broken(network());
  broken.tensor("head").detach()[0][0] = NAN;
  EXPECT_THROW(prune_layers(broken, good, {}), Error);
}

TEST(Calibrated, WhatOverflowsBehindTheFirstLayerPutsThatBack) {
  GraphModule module(network());
  module.tensor("stem").detach().mul_(1e4);
  const at::Tensor stem = module.tensor("stem").detach().clone();
  try {
    prune_layers(module, samples_from({images(8) * 1e16F}), {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("value 'b'"));
    EXPECT_THAT(error.what(), HasSubstr("overflow"));
  }
  EXPECT_TRUE(at::equal(module.tensor("stem"), stem));
  EXPECT_TRUE(module.masked().empty());
}

class Images : public Dataset {
 public:
  int64_t size() const override { return 24; }
  std::vector<FieldInfo> fields() const override { return {{"x", at::kFloat, {3, 8, 8}}}; }
  bool labelled() const override { return false; }
  int64_t classes() const override { return 0; }
  std::string description() const override { return "images"; }
  Batch get(std::span<const int64_t> indices) const override {
    std::vector<at::Tensor> rows;
    for (const int64_t i : indices) rows.push_back(all_[i]);
    return {{at::stack(rows)}, {}, {indices.begin(), indices.end()}};
  }

 private:
  at::Tensor all_ = images(24);
};

TEST(Calibrated, AModelComesBackWithItsMasks) {
  const auto dataset = std::make_shared<Images>();
  const CalibratedModel pruned = prune_with_data(network(), dataset, {}, {.samples = 16});
  EXPECT_EQ(pruned.report.samples, 16);
  GraphModule module(pruned.model);
  EXPECT_EQ(module.masked().size(), 3U);
  verify(pruned.model);
  EXPECT_EQ(prune_with_data(network(), nullptr, {}, {.method = "magnitude"}).report.layers.size(), 3U);
  EXPECT_THROW(prune_with_data(network(), nullptr, {}, {}), Error);
}

}  // namespace
}  // namespace mc
