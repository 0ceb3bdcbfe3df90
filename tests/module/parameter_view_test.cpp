#include "mc/module/parameter_view.h"

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include "tests/module/module_testing.h"

namespace mc {
namespace {

std::map<std::string, ParameterView> by_name(torch::nn::Module& module) {
  std::map<std::string, ParameterView> views;
  for (const ParameterView& view : parameter_views(module)) views.emplace(view.name, view);
  return views;
}

TEST(ParameterViews, OfAGraphModuleComeFromTheGraph) {
  auto reference = testing::small_cnn();
  GraphModule module(testing::small_cnn_model(*reference));
  const auto views = by_name(module);
  ASSERT_EQ(views.size(), 7u);
  EXPECT_EQ(views.at("stem.weight").kind, ParameterKind::kConv);
  EXPECT_EQ(views.at("bn.weight").kind, ParameterKind::kNorm);
  EXPECT_EQ(views.at("body.bias").kind, ParameterKind::kBias);
  EXPECT_EQ(views.at("head.weight").kind, ParameterKind::kLinear);
  EXPECT_EQ(views.at("head.weight").channel_axis, 0) << "transB";
  EXPECT_EQ(views.at("head.bias").kind, ParameterKind::kBias);
  for (const auto& [name, view] : views) EXPECT_TRUE(view.tensor.is_same(module.tensor(name))) << name;
}

TEST(ParameterViews, OfAPlainModuleComeFromItsTypes) {
  auto reference = testing::small_cnn();
  const auto views = by_name(*reference);
  ASSERT_EQ(views.size(), 7u);
  GraphModule module(testing::small_cnn_model(*reference));
  for (const auto& [name, view] : by_name(module)) {
    EXPECT_EQ(views.at(name).kind, view.kind) << name;
    EXPECT_EQ(views.at(name).channel_axis, view.channel_axis) << name;
  }
}

TEST(ParameterViews, KnowTheModulesOfLibTorch) {
  torch::nn::Sequential net(torch::nn::Embedding(5, 3), torch::nn::LSTM(3, 4),
                            torch::nn::LayerNorm(torch::nn::LayerNormOptions({4})),
                            torch::nn::ConvTranspose2d(2, 6, 3));
  const auto views = by_name(*net);
  EXPECT_EQ(views.at("0.weight").kind, ParameterKind::kEmbedding);
  EXPECT_EQ(views.at("1.weight_ih_l0").kind, ParameterKind::kRecurrent);
  EXPECT_EQ(views.at("1.bias_hh_l0").kind, ParameterKind::kBias);
  EXPECT_EQ(views.at("2.weight").kind, ParameterKind::kNorm);
  EXPECT_EQ(views.at("2.bias").kind, ParameterKind::kNorm);
  EXPECT_EQ(views.at("3.weight").kind, ParameterKind::kConv);
  EXPECT_EQ(views.at("3.weight").channel_axis, 1);
}

struct Shared : torch::nn::Module {
  Shared() {
    at::Tensor tensor = at::ones({2, 2});
    register_parameter("mine", tensor);
    register_parameter("again", parameters()[0]);
    graph = register_module("graph",
                            std::make_shared<GraphModule>(testing::small_cnn_model(*testing::small_cnn())));
  }
  std::shared_ptr<GraphModule> graph;
};

TEST(ParameterViews, SharedTensorsOnceAndGraphModulesInside) {
  Shared module;
  const auto views = by_name(module);
  EXPECT_EQ(views.size(), 8u);
  EXPECT_EQ(views.at("mine").kind, ParameterKind::kOther);
  EXPECT_EQ(views.at("graph.stem.weight").kind, ParameterKind::kConv);
  EXPECT_EQ(std::string(parameter_kind_name(ParameterKind::kConv)), "conv");
}

TEST(ParameterViews, ChannelsAreSeenThroughTranspose) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (int64[n] ids) => (float[n,4] y) {
      e = Gather (table, ids)
      t = Transpose <perm = [1,0]> (w)
      p = MatMul (e, t)
      y = Add (p, b)
    })");
  testing::add_tensor(model, "table", at::ones({7, 3}));
  testing::add_tensor(model, "w", at::ones({4, 3}));
  testing::add_tensor(model, "b", at::ones({4}));
  GraphModule module(model);
  const auto views = by_name(module);
  EXPECT_EQ(views.at("w").kind, ParameterKind::kLinear);
  EXPECT_EQ(views.at("w").channel_axis, 0);
  EXPECT_EQ(views.at("b").kind, ParameterKind::kBias);
  EXPECT_EQ(views.at("table").kind, ParameterKind::kEmbedding);
}

}  // namespace
}  // namespace mc
