#include "mc/prune/block_order.h"

#include "mc/data/dataset.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/prune_stage.h"
#include "mc/prune/score_samples.h"
#include "tests/base/error_of.h"
#include "tests/prune/prune_testing.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::random_model;
using testing::run_model;

// Three blocks whose branches are a half, a tenth and a third of matrices of one size.
Model three_blocks(double first = 0.5, double second = 0.1, double third = 0.3) {
  Model model = random_model(R"(<ir_version: 8, opset_import: ["" : 18]>
net (float[N,6] x) => (float[N,3] y) {
  a = MatMul (x, wa)
  [one] s1 = Add (x, a)
  b = MatMul (s1, wb)
  rb = Tanh (b)
  [two] s2 = Add (s1, rb)
  c = MatMul (s2, wc)
  [three] s3 = Add (c, s2)
  y = MatMul (s3, head)
})",
                             {{"wa", {6, 6}}, {"wb", {6, 6}}, {"wc", {6, 6}}, {"head", {6, 3}}});
  for (const auto& [name, factor] :
       {std::pair<const char*, double>{"wa", first}, {"wb", second}, {"wc", third}}) {
    const at::Tensor value = to_aten(model.graph.initializer(name)->tensor, false);
    model.graph.set_initializer(name, to_constant(value * factor));
  }
  return model;
}

std::vector<at::Tensor> held_batches(int64_t features = 6) {
  at::manual_seed(4);
  return {at::randn({5, features}), at::randn({3, features})};
}

Samples samples_of(const std::vector<at::Tensor>& batches) {
  ScoreData data;
  data.batches = static_cast<int64_t>(batches.size());
  data.inputs = [batches](int64_t i) { return std::vector<at::Tensor>{batches.at(static_cast<size_t>(i))}; };
  return score_samples(data);
}

std::vector<std::string> order_of(BlockOrder& order) {
  while (order.remove_next()) {
  }
  std::vector<std::string> names;
  for (const RemovedBlock& removed : order.removed()) names.push_back(removed.block.name);
  return names;
}

TEST(BlockOrder, CosineOfWhatEntersAndWhatLeaves) {
  const Model model = three_blocks();
  const std::vector<at::Tensor> batches = held_batches();
  BlockOrder order("blocks_cosine", model, samples_of(batches));
  EXPECT_EQ(order.blocks(), 3);
  const at::Tensor x = at::cat(batches);
  const auto weight = [&](const char* name) { return to_aten(model.graph.initializer(name)->tensor, false); };
  const at::Tensor s1 = x + x.matmul(weight("wa"));
  const at::Tensor s2 = s1 + s1.matmul(weight("wb")).tanh();
  const at::Tensor s3 = s2 + s2.matmul(weight("wc"));
  const auto turned = [](const at::Tensor& a, const at::Tensor& b) {
    return 1 - at::cosine_similarity(a, b, 1).mean().item<double>();
  };
  const std::map<std::string, double> expected = {
      {"one", turned(x, s1)}, {"two", turned(s1, s2)}, {"three", turned(s2, s3)}};
  EXPECT_THAT(order_of(order), ElementsAre("two", "three", "one"));
  for (const RemovedBlock& removed : order.removed())
    EXPECT_NEAR(removed.score, expected.at(removed.block.name), 1e-5) << removed.block.name;
}

TEST(BlockOrder, TokensAreComparedOneByOne) {
  const Model model = random_model(R"(<ir_version: 8, opset_import: ["" : 18]>
net (float[N,2,4] x) => (float[N,2,4] y) {
  a = MatMul (x, w)
  [sum] y = Add (x, a)
})",
                                   {{"w", {4, 4}}});
  at::manual_seed(2);
  at::Tensor x = at::randn({3, 2, 4});
  x[1][0].zero_();  // stays zero, and has not turned
  BlockOrder order("blocks_cosine", model, samples_of({x}));
  ASSERT_TRUE(order.remove_next());
  const at::Tensor y = run_model(model, {x})[0];
  const at::Tensor cosine = at::cosine_similarity(x, y, 2);
  EXPECT_NEAR(order.removed()[0].score, 1 - (cosine.sum().item<double>() + 1) / 6, 1e-5);
}

TEST(BlockOrder, OutputErrorIsJudgedAnewAfterEach) {
  const Model model = three_blocks();
  const std::vector<at::Tensor> batches = held_batches();
  BlockOrder order("blocks_output", model, samples_of(batches));
  Model left = model;
  std::vector<std::string> names = {"one", "two", "three"};
  while (!names.empty()) {
    // The same by hand: every candidate is tried.
    std::map<double, std::string> tried;
    for (const std::string& name : names) {
      const Model without = remove_blocks(left, {name});
      double error = 0, size = 0;
      for (const at::Tensor& x : batches) {
        const at::Tensor want = run_model(model, {x})[0];
        error += (run_model(without, {x})[0] - want).square().sum().item<double>();
        size += want.square().sum().item<double>();
      }
      tried[error / size] = name;
    }
    ASSERT_TRUE(order.remove_next());
    EXPECT_EQ(order.removed().back().block.name, tried.begin()->second);
    EXPECT_NEAR(order.removed().back().score, tried.begin()->first, 1e-5);
    left = remove_blocks(left, {tried.begin()->second});
    EXPECT_TRUE(order.model() == left);
    std::erase(names, tried.begin()->second);
  }
  EXPECT_FALSE(order.remove_next());
}

TEST(BlockOrder, StopsAtItsTarget) {
  const Samples samples = samples_of(held_batches());
  BlockOrder order("blocks_cosine", three_blocks(), samples);
  // 36 of each block, 18 of the head.
  remove_blocks_to(order, model_parameters, 100, "parameters");
  EXPECT_EQ(order.removed().size(), 1u);
  EXPECT_EQ(model_parameters(order.model()), 90);
  BlockOrder ratio("blocks_cosine", three_blocks(), samples);
  remove_block_ratio(ratio, 0.67);
  EXPECT_EQ(ratio.removed().size(), 2u);
  BlockOrder far("blocks_cosine", three_blocks(), samples);
  EXPECT_THAT(error_of([&] { remove_blocks_to(far, model_parameters, 17, "parameters"); }),
              HasSubstr("with all 3 residual blocks gone that may go, 18 of 126 are left"));
}

TEST(BlockOrder, BlocksThatAreLeftAlone) {
  const Samples samples = samples_of(held_batches());
  BlockOrder order("blocks_cosine", three_blocks(), samples, {"tw*", "wa"});
  EXPECT_THAT(order.ignored(), ElementsAre("two", "one"));
  EXPECT_EQ(order.removable(), 1);
  EXPECT_THAT(error_of([&] { remove_block_ratio(order, 0.5); }),
              HasSubstr("2 of 3 residual blocks cannot go: only 1"));
}

TEST(BlockOrder, BadInput) {
  const Model model = three_blocks();
  const Samples samples = samples_of(held_batches());
  const auto make = [&](const std::string& method, const Model& of, const std::vector<std::string>& ignore) {
    return error_of([&] { BlockOrder order(method, of, samples, ignore); });
  };
  EXPECT_THAT(make("blocks_cosin", model, {}), HasSubstr("did you mean 'blocks_cosine'"));
  EXPECT_THAT(make("blocks_cosine", model, {"thre"}), HasSubstr("did you mean 'three'"));
  const Model plain = random_model(R"(<ir_version: 8, opset_import: ["" : 18]>
net (float[N,6] x) => (float[N,2] y) { y = MatMul (x, w) })",
                                   {{"w", {6, 2}}});
  EXPECT_THAT(make("blocks_output", plain, {}), HasSubstr("no residual block"));
  Model broken = model;
  broken.graph.set_initializer("wb", to_constant(at::full({6, 6}, NAN)));
  EXPECT_THAT(make("blocks_cosine", broken, {}), HasSubstr("NaN"));
  EXPECT_THAT(make("blocks_output", broken, {}), HasSubstr("NaN"));
  BlockOrder order("blocks_cosine", model, samples);
  EXPECT_THAT(error_of([&] { remove_block_ratio(order, 1.5); }), HasSubstr("[0, 1], not 1.5"));
}

TEST(BlockStage, TakesBlocksOutAndTrainsOn) {
  GraphModule module(three_blocks());
  PruneOptions options;
  options.method = "blocks_cosine";
  options.channels.block_ratio = 0.34;
  options.score_batches = 2;
  const auto method = make_prune_method(options);
  Loader loader(random_dataset(16, {{"x", at::kFloat, {6}}}, 0), {.batch_size = 4});
  StageContext context{module, loader, 1, 4, 3};
  method->begin(context, false);
  EXPECT_EQ(residual_blocks(module.graph()).size(), 2u);
  EXPECT_EQ(method->figures().at("blocks_gone"), 1);
  module.forward(at::randn({2, 6})).sum().backward();
  EXPECT_TRUE(module.tensor("wa").grad().defined());
  const auto resumed = make_prune_method(options);
  resumed->begin(context, true);
  resumed->load(method->save());
  EXPECT_EQ(residual_blocks(module.graph()).size(), 2u) << "a resumed stage takes nothing out again";
  EXPECT_EQ(resumed->figures().at("blocks_gone"), 1);
  EXPECT_THAT(error_of([&] { resumed->load({}); }), HasSubstr("how many blocks"));
}

TEST(BlockStage, BadInput) {
  PruneOptions options;
  options.method = "blocks_output";
  EXPECT_THAT(error_of([&] { options.check(); }),
              HasSubstr("one of macs, parameters, block_ratio and speedup"));
  options.channels.block_ratio = 0.5;
  options.check();
  options.method = "channels_l1";
  EXPECT_THAT(error_of([&] { options.check(); }), HasSubstr("block_ratio is for methods of blocks"));
}

}  // namespace
}  // namespace mc
