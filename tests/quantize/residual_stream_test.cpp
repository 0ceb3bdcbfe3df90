// What stays float in a transformer reads floats, though its neighbours read the same value as integers.
#include <algorithm>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"

namespace mc {
namespace {

using ::testing::ElementsAre;

// A layer of a transformer that normalizes behind its residual sum, with two readers of what it normalized.
Model post_norm_layer() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,8] x) => (float[N,4] y)
    {
      [norm1] h = LayerNormalization (x, "gamma", "beta")
      [inner] m = MatMul (h, "w1")
      [sum] s = Add (m, h)
      [norm2] t = LayerNormalization (s, "gamma", "beta")
      [outer] y = MatMul (t, "w2")
    })");
  at::manual_seed(5);
  const auto add = [&](const std::string& name, std::vector<int64_t> dims) {
    const at::Tensor t = at::randn(dims);
    model.graph.add_initializer(
        name,
        Tensor::floats(dims, std::span<const float>(t.data_ptr<float>(), static_cast<size_t>(t.numel()))));
  };
  add("gamma", {8});
  add("beta", {8});
  add("w1", {8, 8});
  add("w2", {8, 4});
  return model;
}

const Node& named(const Model& model, const std::string& name) {
  return *std::ranges::find_if(model.graph.nodes, [&](const Node& node) { return node.name == name; });
}

class ResidualStream : public ::testing::TestWithParam<const char*> {};

TEST_P(ResidualStream, PassesByTheQuantizers) {
  Model model = post_norm_layer();
  QuantizeOptions options;
  options.target = GetParam();
  prepare_qat(model, options);
  verify(model);
  EXPECT_EQ(named(model, "inner").inputs[0], "h");
  EXPECT_THAT(named(model, "sum").inputs, ElementsAre("m", "h_float"));
  EXPECT_THAT(named(model, "norm1").outputs, ElementsAre("h_float"));
}

TEST_P(ResidualStream, IsNotRoundedInTheExportEither) {
  GraphModule module(post_norm_layer());
  QuantizeOptions options;
  options.target = GetParam();
  prepare_qat(module, options);
  at::manual_seed(6);
  const at::Tensor x = at::randn({32, 8});
  module.forward(x);
  const Model converted = convert(module, options);
  verify(converted);
  const Uses uses(converted.graph);
  for (const std::string& input : named(converted, "sum").inputs) {
    const auto producer = uses.producer(input);
    ASSERT_TRUE(producer) << input;
    EXPECT_FALSE(converted.graph.nodes[*producer].is("DequantizeLinear")) << input;
  }
}

// The shortcut of a ResNet is what an integer kernel wrote: to read it in float would cost a conversion.
TEST(ResidualStreamOfAConvolution, StaysOnItsGrid) {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,2,4,4] x) => (float[N,2,4,4] y)
    {
      [first] a = Conv <kernel_shape = [1,1]> (x, "w1")
      [second] b = Conv <kernel_shape = [1,1]> (a, "w2")
      [sum] y = Add (b, a)
    })");
  const std::vector<float> weight = {1, 2, 3, 4};
  model.graph.add_initializer("w1", Tensor::floats({2, 2, 1, 1}, weight));
  model.graph.add_initializer("w2", Tensor::floats({2, 2, 1, 1}, weight));
  prepare_qat(model, {});
  EXPECT_THAT(named(model, "sum").inputs, ElementsAre("b", "a"));
}

INSTANTIATE_TEST_SUITE_P(Targets, ResidualStream, ::testing::Values("onnxruntime", "openvino", "tensorrt"));

}  // namespace
}  // namespace mc
