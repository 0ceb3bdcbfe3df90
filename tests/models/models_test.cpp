#include "mc/models/models.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>

#include "tests/base/error_of.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

bool is_parameter(const Initializer& initializer) {
  const bool statistic = initializer.name.find(".running_") != std::string::npos;
  const bool named = initializer.name.ends_with(".weight") || initializer.name.ends_with(".bias") ||
                     initializer.name == "cls_token" || initializer.name == "pos_embed";
  return named && !statistic;
}

int64_t parameters(const Model& model) {
  int64_t count = 0;
  for (const Initializer& each : model.graph.initializers())
    count += is_parameter(each) ? each.tensor.count() : 0;
  return count;
}

std::vector<int64_t> dims(const Model& model, const std::string& name) {
  const Initializer* found = model.graph.initializer(name);
  return found ? found->tensor.dims : std::vector<int64_t>{-1};
}

const Node* node(const Model& model, const std::string& name) {
  for (const Node& each : model.graph.nodes) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

std::vector<double> values(const Model& model, const std::string& name) {
  return model.graph.initializer(name)->tensor.as_doubles();
}

bool same_bytes(const Initializer& a, const Initializer& b) {
  return std::ranges::equal(a.tensor.data.bytes(), b.tensor.data.bytes());
}

double deviation(const std::vector<double>& numbers) {
  double squares = std::inner_product(numbers.begin(), numbers.end(), numbers.begin(), 0.0);
  return std::sqrt(squares / static_cast<double>(numbers.size()));  // about zero
}

struct Count {
  const char* name;
  std::vector<int64_t> input;
  int64_t classes;
  int64_t parameters;
};

class ParameterCount : public ::testing::TestWithParam<Count> {};

TEST_P(ParameterCount, IsThePapers) {
  const Count& expected = GetParam();
  Model model = build_model(expected.name, {.input_shape = expected.input, .classes = expected.classes});
  EXPECT_EQ(parameters(model), expected.parameters);
}

// resnet18, resnet50, mobilenet_v2, mobilenet_v3_small: the figures of torchvision's documentation. vit:
// DeiT-Ti's 5.7 M. resnet20: 269,722 (akamaster's count of the paper's option A) and 2,752 for two
// projections. resnet8: 78,042 (the count of the same network with option B). mlp: 784*512+512 + 512*512+512
// + 512*10+10.
INSTANTIATE_TEST_SUITE_P(Models, ParameterCount,
                         ::testing::Values(Count{"resnet18", {3, 224, 224}, 1000, 11'689'512},
                                           Count{"resnet50", {3, 224, 224}, 1000, 25'557'032},
                                           Count{"mobilenet_v2", {3, 224, 224}, 1000, 3'504'872},
                                           Count{"mobilenet_v3_small", {3, 224, 224}, 1000, 2'542'856},
                                           Count{"vit", {3, 224, 224}, 1000, 5'717'416},
                                           Count{"resnet20", {3, 32, 32}, 10, 269'722 + 2'752},
                                           Count{"resnet8", {3, 32, 32}, 10, 78'042},
                                           Count{"mlp", {1, 28, 28}, 10, 669'706}));

class EveryModel : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryModel, IsAValidModelFromInputToLogits) {
  Model model = build_model(GetParam(), {.input_shape = {1, 28, 28}, .classes = 7});
  verify(model);
  EXPECT_EQ(model.opset(), 17);
  ASSERT_EQ(model.graph.inputs.size(), 1u);
  ASSERT_EQ(model.graph.outputs.size(), 1u);
  EXPECT_EQ(model.graph.inputs[0].name, "input");
  EXPECT_EQ(to_string(model.graph.inputs[0].type), "float[batch,1,28,28]");
  EXPECT_EQ(model.graph.outputs[0].name, "logits");
  EXPECT_EQ(to_string(model.graph.outputs[0].type), "float[batch,7]");
  EXPECT_EQ(model.graph.name, GetParam());
}

TEST_P(EveryModel, IsAPureFunctionOfItsSeed) {
  const ModelOptions options{.input_shape = {1, 28, 28}, .classes = 7, .seed = 3};
  ModelOptions other = options;
  other.seed = 4;
  Model first = build_model(GetParam(), options), same = build_model(GetParam(), options);
  Model different = build_model(GetParam(), other);
  for (const Initializer& each : first.graph.initializers()) {
    EXPECT_TRUE(same_bytes(each, *same.graph.initializer(each.name))) << each.name;
    if (each.tensor.dims.size() != 2 && each.tensor.dims.size() != 4) continue;  // what is drawn
    EXPECT_FALSE(same_bytes(each, *different.graph.initializer(each.name))) << each.name;
  }
}

TEST_P(EveryModel, ShrinksWithItsWidth) {
  const ModelOptions options{.input_shape = {3, 32, 32}, .classes = 10};
  ModelOptions half = options;
  half.width = 0.5;
  Model small = build_model(GetParam(), half);
  verify(small);
  EXPECT_LT(parameters(small), parameters(build_model(GetParam(), options)));
  for (const Node& each : small.graph.nodes) {
    if (each.op_type != "Conv") continue;
    EXPECT_EQ(dims(small, each.inputs[1])[0] % 8, 0) << each.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryModel,
                         ::testing::Values("resnet8", "resnet20", "resnet18", "mobilenet_v2",
                                           "mobilenet_v3_small", "mlp", "vit"));

TEST(Models, AreNamedAsInTorchvision) {
  Model model = build_model("resnet18", {.input_shape = {3, 224, 224}, .classes = 1000});
  EXPECT_EQ(dims(model, "conv1.weight"), (std::vector<int64_t>{64, 3, 7, 7}));
  EXPECT_EQ(dims(model, "layer2.0.downsample.0.weight"), (std::vector<int64_t>{128, 64, 1, 1}));
  EXPECT_EQ(dims(model, "layer2.0.downsample.1.running_var"), (std::vector<int64_t>{128}));
  EXPECT_EQ(dims(model, "layer4.1.bn2.running_mean"), (std::vector<int64_t>{512}));
  EXPECT_EQ(dims(model, "fc.weight"), (std::vector<int64_t>{1000, 512}));
  Model mobile = build_model("mobilenet_v2", {.input_shape = {3, 224, 224}, .classes = 1000});
  EXPECT_EQ(dims(mobile, "features.1.conv.0.0.weight"), (std::vector<int64_t>{32, 1, 3, 3}));
  EXPECT_EQ(dims(mobile, "features.17.conv.2.weight"), (std::vector<int64_t>{320, 960, 1, 1}));
  EXPECT_EQ(dims(mobile, "features.18.0.weight"), (std::vector<int64_t>{1280, 320, 1, 1}));
  EXPECT_EQ(dims(mobile, "classifier.1.weight"), (std::vector<int64_t>{1000, 1280}));
}

TEST(Models, KeepResolutionOfSmallImages) {
  Model large = build_model("resnet18", {.input_shape = {3, 64, 64}});
  EXPECT_EQ(node(large, "conv1")->get_ints("strides"), (std::vector<int64_t>{2, 2}));
  EXPECT_NE(node(large, "maxpool"), nullptr);
  Model small = build_model("resnet18", {.input_shape = {3, 32, 32}});
  EXPECT_EQ(node(small, "conv1")->get_ints("kernel_shape"), (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(node(small, "conv1")->get_ints("strides"), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(node(small, "maxpool"), nullptr);
}

TEST(Models, NormalizeAsPyTorchDoes) {
  Model model = build_model("resnet8");
  const Node* norm = node(model, "layer1.0.bn1");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->inputs.size(), 5u);
  EXPECT_EQ(norm->outputs.size(), 1u);
  EXPECT_FLOAT_EQ(norm->get_float("epsilon", 0), 1e-5f);
  EXPECT_FLOAT_EQ(norm->get_float("momentum", 0), 0.9f);
  EXPECT_THAT(values(model, "bn1.weight"), ::testing::Each(1));
  EXPECT_THAT(values(model, "bn1.bias"), ::testing::Each(0));
  EXPECT_THAT(values(model, "bn1.running_mean"), ::testing::Each(0));
  EXPECT_THAT(values(model, "bn1.running_var"), ::testing::Each(1));
}

TEST(Models, StartFromTheUsualDistributions) {
  Model model = build_model("resnet18", {.input_shape = {3, 32, 32}, .seed = 1});
  // He et al. 2015: sqrt(2 / fan_out), fan_out = 512 * 9; 2.4 M numbers, so 1 % is far outside chance.
  const double he = std::sqrt(2.0 / (512 * 9));
  EXPECT_NEAR(deviation(values(model, "layer4.1.conv1.weight")) / he, 1, 0.01);
  // PyTorch's linear layer: uniform within 1 / sqrt(512), whose deviation is that over sqrt(3).
  const double bound = 1 / std::sqrt(512.0);
  const std::vector<double> linear = values(model, "fc.weight");
  EXPECT_THAT(linear, ::testing::Each(AllOf(::testing::Ge(-bound), ::testing::Le(bound))));
  EXPECT_NEAR(deviation(linear) / (bound / std::sqrt(3.0)), 1, 0.05);
  EXPECT_THAT(values(model, "fc.bias"), ::testing::Each(AllOf(::testing::Ge(-bound), ::testing::Le(bound))));

  Model vit = build_model("vit");
  const std::vector<double> qkv = values(vit, "blocks.0.attn.qkv.weight");
  EXPECT_THAT(qkv, ::testing::Each(AllOf(::testing::Ge(-0.04f), ::testing::Le(0.04f))));
  // A normal cut at two deviations has 0.8796 of its deviation.
  EXPECT_NEAR(deviation(qkv) / (0.02 * 0.8796), 1, 0.01);
  EXPECT_THAT(values(vit, "blocks.0.attn.qkv.bias"), ::testing::Each(0));
}

TEST(Models, DrawEveryParameterFromItsOwnName) {
  Model model = build_model("resnet20");
  EXPECT_NE(values(model, "layer1.0.conv1.weight"), values(model, "layer1.0.conv2.weight"));
  // The same name and shape start alike in another network.
  EXPECT_EQ(values(model, "layer1.0.conv1.weight"), values(build_model("resnet8"), "layer1.0.conv1.weight"));
}

TEST(Models, RefuseWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { build_model("resnet19"); }),
              AllOf(HasSubstr("resnet19"), HasSubstr("did you mean"), HasSubstr("mobilenet_v2")));
  EXPECT_THAT(error_of([] { build_model("resnet8", {.input_shape = {}}); }), HasSubstr("input shape"));
  EXPECT_THAT(error_of([] { build_model("resnet8", {.input_shape = {784}}); }),
              AllOf(HasSubstr("resnet8"), HasSubstr("[channels, height, width]")));
  EXPECT_THAT(error_of([] { build_model("resnet8", {.input_shape = {3, 0, 32}}); }), HasSubstr("[3, 0, 32]"));
  EXPECT_THAT(error_of([] { build_model("mlp", {.input_shape = {1 << 12, 1 << 12}}); }),
              HasSubstr("fc1.weight"));
  EXPECT_THAT(error_of([] { build_model("mlp", {.input_shape = {1 << 20, 1 << 20, 1 << 20, 1 << 20}}); }),
              HasSubstr("elements"));
  EXPECT_THAT(error_of([] { build_model("resnet8", {.classes = 0}); }), HasSubstr("0 classes"));
  EXPECT_THAT(error_of([] { build_model("resnet8", {.width = -1}); }), HasSubstr("width"));
  EXPECT_THAT(error_of([] { build_model("vit", {.input_shape = {3, 30, 30}}); }), HasSubstr("patches"));
}

TEST(Models, AListedBuilderSuitsItsUsualInput) {
  for (const ModelBuilder& builder : model_builders()) {
    if (builder.name == "resnet50") continue;  // ParameterCount builds it at this size
    Model model = build_model(builder.name, {.input_shape = builder.usual_input});
    EXPECT_EQ(model.graph.name, builder.name);
    EXPECT_FALSE(builder.summary.empty());
  }
}

}  // namespace
}  // namespace mc
