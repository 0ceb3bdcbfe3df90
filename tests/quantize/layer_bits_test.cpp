// Bits of single layers, weights stored as int4, and nodes named by type.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/quantize/calibrate.h"
#include "tests/quantize/ptq_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Model three_layers() {
  at::manual_seed(4);
  return ptq_model("N,3,6,6",
                   R"([stem] a = Conv <kernel_shape = [3,3]> (x, "stem.weight", "stem.bias")
                      [relu] r = Relu (a)
                      [body] b = Conv <kernel_shape = [1,1]> (r, "body.weight")
                      [pool] p = GlobalAveragePool (b)
                      [flat] f = Flatten (p)
                      [head] y = MatMul (f, "head.weight"))",
                   {{"stem.weight", at::randn({5, 3, 3, 3})},
                    {"stem.bias", at::randn({5})},
                    {"body.weight", at::randn({7, 5, 1, 1})},
                    {"head.weight", at::randn({7, 3})}});
}

std::shared_ptr<GraphModule> module_with(const QuantizeOptions& options) {
  Model model = three_layers();
  prepare_qat(model, options);
  auto module = std::make_shared<GraphModule>(std::move(model));
  at::manual_seed(5);
  calibrate(*module, samples_of({at::randn({8, 3, 6, 6})}), options);
  module->eval();
  return module;
}

double largest_level(const Model& model, const std::string& weight) {
  double largest = 0;
  for (const double level : model.graph.initializer(weight)->tensor.as_doubles()) {
    largest = std::max(largest, std::abs(level));
  }
  return largest;
}

QuantizeOptions bits(std::vector<LayerBits> layers) {
  QuantizeOptions options;
  options.mode = "ptq";
  options.layers = std::move(layers);
  return options;
}

TEST(LayerBits, TheLastEntryThatFitsCounts) {
  const QuantizeOptions options = bits({{"type:Conv", 4}, {"st*", 3}});
  const Model model = convert(*module_with(options), options);
  EXPECT_EQ(largest_level(model, "stem.weight_int8"), 3);
  EXPECT_EQ(largest_level(model, "body.weight_int8"), 7);
  EXPECT_EQ(largest_level(model, "head.weight_int8"), 127);
}

TEST(LayerBits, AnEntryMustFitANode) {
  EXPECT_THAT([] { module_with(bits({{"bodi", 4}})); },
              ThrowsMessage<Error>(AllOf(HasSubstr("layers: no node matches 'bodi'"), HasSubstr("body"))));
  EXPECT_THAT([] { module_with(bits({{"type:Convv", 4}})); }, ThrowsMessage<Error>(HasSubstr("type:Conv'")));
}

TEST(WeightStorage, Int4HoldsTheSameNumbers) {
  QuantizeOptions options = bits({{"stem", 4}, {"body", 2}});
  const auto module = module_with(options);
  const Model wide = convert(*module, options);
  options.weight_storage = "int4";
  const Model narrow = convert(*module, options);
  const Tensor& stem = narrow.graph.initializer("stem.weight_int4")->tensor;
  EXPECT_EQ(stem.dtype, DType::kInt4);
  EXPECT_EQ(stem.data.size(), (5U * 27 + 1) / 2);
  EXPECT_EQ(stem.as_doubles(), wide.graph.initializer("stem.weight_int8")->tensor.as_doubles());
  EXPECT_NE(narrow.graph.initializer("head.weight_int8"), nullptr);
  EXPECT_GE(narrow.opset(), 21);
  const at::Tensor x = at::randn({8, 3, 6, 6});
  EXPECT_GT(snr_of(infer(wide, x), infer(narrow, x)), 45);  // the bias of `stem` is no longer an integer
}

TEST(WeightStorage, TargetsThatCannotReadInt4AreRefused) {
  QuantizeOptions options = bits({{"stem", 4}});
  options.target = "tensorrt";
  options.weight_storage = "int4";
  EXPECT_THAT([&] { module_with(options); }, ThrowsMessage<Error>(HasSubstr("takes int8 weights only")));
}

TEST(KeepFloat, NamesNodesByType) {
  QuantizeOptions options = bits({});
  options.keep_float = {"type:Mat*"};
  Model model = three_layers();
  const auto layers = prepare_qat(model, options);
  ASSERT_EQ(layers.size(), 3U);
  EXPECT_TRUE(layers[0].quantized && layers[1].quantized);
  EXPECT_EQ(layers[2].reason, "named in keep_float");
}

}  // namespace
}  // namespace mc
