#include "mc/prune/cut.h"

#include <numeric>

#include "mc/models/models.h"
#include "mc/train/optimizer.h"
#include "tests/base/error_of.h"
#include "tests/module/module_testing.h"
#include "tests/prune/prune_testing.h"

namespace mc {
namespace {

using testing::difference;
using testing::find_group;
using ::testing::HasSubstr;
using testing::run_model;

// Batch norm that does something, as after training.
Model network(const std::string& name) {
  ModelOptions options;
  options.input_shape = {3, 32, 32};
  Model model = build_model(name, options);
  at::manual_seed(2);
  for (const Initializer& initializer : std::vector<Initializer>(model.graph.initializers())) {
    if (initializer.tensor.dims.size() != 1 || initializer.tensor.dtype != DType::kFloat) continue;
    const at::Tensor value = to_aten(initializer.tensor, false);
    model.graph.set_initializer(initializer.name, to_constant(value + at::rand(value.sizes()) * 0.2));
  }
  return model;
}

at::Tensor cut_images(int64_t count) {
  at::manual_seed(4);
  return at::randn({count, 3, 32, 32});
}

TEST(CutChannels, NetworksEqualTheirMaskedOnes) {
  for (const char* name : {"resnet8", "mobilenet_v3_small", "vit"}) {
    SCOPED_TRACE(name);
    testing::expect_consistent(network(name), {cut_images(1)}, 3);
  }
}

TEST(CutChannels, ResNet50HasAGroupForEachStageAndEachInnerLayer) {
  const std::vector<ChannelGroup> groups = channel_groups(network("resnet50"));
  const auto free = std::ranges::count_if(groups, [](const ChannelGroup& g) { return g.obstacle.empty(); });
  EXPECT_EQ(free, 1 + 4 + 2 * (3 + 4 + 6 + 3)) << "the stem, four residual sums, two layers in each block";
  EXPECT_THAT(find_group(groups, "fc.weight")->obstacle, HasSubstr("'logits' is an output"));
  EXPECT_TRUE(std::ranges::all_of(groups, [](const ChannelGroup& g) { return g.exact; }));
}

TEST(CutChannels, CutsComposeInAnyOrder) {
  const Model model = network("resnet8");
  const std::vector<ChannelGroup> groups = channel_groups(model);
  const std::string a = groups[0].name, b = groups[1].name;
  const at::Tensor x = cut_images(1);
  const Model together = cut_channels(model, {{b, {3, 1}}, {a, {0}}});
  const Model one_by_one = cut_channels(cut_channels(model, {{a, {0}}}), {{b, {1, 3}}});
  EXPECT_EQ(difference(run_model(together, {x})[0], run_model(one_by_one, {x})[0]), 0);
  EXPECT_TRUE(cut_channels(model, {}) == model);
  EXPECT_TRUE(cut_channels(model, {{a, {}}}) == model);
}

TEST(CutChannels, OtherReadersOfAShapeConstantKeepIt) {
  Model model = testing::random_model(R"(<ir_version: 8, opset_import: ["" : 18]>
net (float[N,3,4] x) => (float[N,3,2] y, float[N,3,2,2] z) {
  a = MatMul (x, w)
  h = Reshape (a, by_head)
  t = Transpose <perm = [0,1,3,2]> (h)
  shape = Constant <value = int64[3] {0, 3, -1}> ()
  m = Reshape (h, shape)
  y = MatMul (m, wo)
  z = Reshape (x, by_head)
})",
                                      {{"w", {4, 4}}, {"wo", {4, 2}}});
  model.graph.set_initializer("by_head", Tensor::int64s({4}, std::vector<int64_t>{0, 3, 2, 2}));
  const Model cut = cut_channels(model, {{"w", {0}}});
  EXPECT_EQ(cut.graph.initializer("by_head")->tensor.as_ints(), (std::vector<int64_t>{0, 3, 2, 2}));
  const at::Tensor x = at::randn({1, 3, 4});
  EXPECT_LT(difference(run_model(cut, {x})[0], run_model(mask_channels(model, {{"w", {0}}}), {x})[0]), 1e-6);
}

TEST(CutChannels, ALiveModuleTrainsOn) {
  auto reference = testing::small_cnn();
  GraphModule module(testing::small_cnn_model(*reference));
  const auto optimizer = make_optimizer(SgdOptions{}, module);
  const at::Tensor labels = at::tensor({1, 4}, at::kLong);
  const auto step = [&] {
    optimizer->zero_grad();
    const at::Tensor loss = at::cross_entropy_loss(module.forward(testing::random_images(2)), labels);
    loss.backward();
    optimizer->step(0.01);
    return loss.item<double>();
  };
  module.train();
  for (int i = 0; i < 3; ++i) step();
  const at::Tensor mask = at::rand(module.tensor("body.weight").sizes()) < 0.5;
  module.set_mask("body.weight", mask);
  const auto moments = optimizer->save();
  const Model before = module.graph();
  const std::vector<ChannelCut> cuts = {{"stem.weight", {1, 4}}, {"body.weight", {0}}};
  const Model want = cut_channels(before, cuts);
  const at::Tensor head = module.tensor("head.bias");

  const EditReport report = cut_channels(module, cuts);
  EXPECT_TRUE(report.sliced.contains("stem.weight"));
  EXPECT_TRUE(report.reset.empty());
  EXPECT_TRUE(module.tensor("head.bias").is_same(head)) << "what is not cut stays the same tensor";
  const at::Tensor kept = at::tensor({0, 2, 3, 5}, at::kLong), rows = at::tensor({1, 2, 3}, at::kLong);
  EXPECT_TRUE(
      at::equal(module.mask("body.weight").to(at::kBool), mask.index_select(0, rows).index_select(1, kept)));
  int moved = 0;
  for (const auto& [name, value] : optimizer->save()) {
    if (name.ends_with("/body.weight")) {
      EXPECT_EQ(value.strides(), module.tensor("body.weight").strides()) << "the fused kernels walk memory";
    }
    if (!name.ends_with("/stem.weight")) continue;
    EXPECT_TRUE(at::equal(value, moments.at(name).index_select(0, kept))) << name;
    ++moved;
  }
  EXPECT_GE(moved, 1);
  module.eval();
  {
    const at::NoGradGuard no_grad;
    const at::Tensor x = testing::random_images(3, 9);
    EXPECT_LT(difference(module.forward(x), run_model(want, {x})[0]), 1e-6);
  }
  module.train();
  const double first = step();
  double last = first;
  for (int i = 0; i < 20; ++i) last = step();
  EXPECT_LT(last, first);
}

TEST(CutChannels, BadInputChangesNothing) {
  const Model model = network("resnet8");
  const std::string group = channel_groups(model)[0].name;
  const int64_t channels = channel_groups(model)[0].channels;
  const auto message = [&](const std::vector<ChannelCut>& cuts) {
    const std::string cut = error_of([&] { cut_channels(model, cuts); });
    EXPECT_EQ(cut, error_of([&] { mask_channels(model, cuts); }));
    return cut;
  };
  std::vector<int64_t> all(static_cast<size_t>(channels));
  std::iota(all.begin(), all.end(), 0);
  EXPECT_THAT(message({{group, all}}), HasSubstr("without a channel"));
  EXPECT_THAT(message({{group, {channels}}}), HasSubstr("there is no 16"));
  EXPECT_THAT(message({{group, {-1}}}), HasSubstr("there is no -1"));
  EXPECT_THAT(message({{group, {2, 2}}}), HasSubstr("named twice"));
  EXPECT_THAT(message({{group, {1}}, {group, {2}}}), HasSubstr("cut twice"));
  EXPECT_THAT(message({{group + "x", {1}}}), HasSubstr("did you mean '" + group + "'"));
  EXPECT_THAT(message({{"fc.weight", {1}}}), HasSubstr("is an output of the model"));
  GraphModule module(model);
  EXPECT_THAT(error_of([&] { cut_channels(module, {{group, {1}}, {"fc.weight", {0}}}); }),
              HasSubstr("is an output"));
  EXPECT_EQ(module.tensor(group).size(0), channels);
}

}  // namespace
}  // namespace mc
