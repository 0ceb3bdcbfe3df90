#include "mc/prune/residual_blocks.h"

#include "mc/models/models.h"
#include "tests/base/error_of.h"
#include "tests/module/module_testing.h"
#include "tests/prune/prune_testing.h"

namespace mc {
namespace {

using ::testing::Contains;
using testing::difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::random_model;
using testing::run_model;

Model tower() {
  return random_model(
      R"(<ir_version: 8, opset_import: ["" : 18]>
net (float[N,4] x) => (float[N,4] y) {
  a = MatMul (x, wa)
  ra = Relu (a)
  [one] s1 = Add (x, ra)
  b = MatMul (s1, wb)
  c = MatMul (b, wc)
  [two] s2 = Add (c, s1)
  d = MatMul (s2, wd)
  e = MatMul (s2, we)
  [both] s3 = Add (d, e)
  f = MatMul (s3, wf)
  [last] y = Add (s3, f)
})",
      {{"wa", {4, 4}}, {"wb", {4, 6}}, {"wc", {6, 4}}, {"wd", {4, 4}}, {"we", {4, 4}}, {"wf", {4, 4}}});
}

TEST(ResidualBlocks, AreSumsOfABranchAndItsInput) {
  const std::vector<ResidualBlock> blocks = residual_blocks(tower());
  ASSERT_EQ(blocks.size(), 3u) << "'both' adds two branches";
  EXPECT_EQ(blocks[0].name, "one");
  EXPECT_EQ(blocks[1].skip, "s1");
  EXPECT_EQ(blocks[1].nodes.size(), 2u);
  EXPECT_THAT(blocks[1].initializers, ElementsAre("wb", "wc"));
  EXPECT_EQ(blocks[1].parameters, 48);
}

TEST(ResidualBlocks, GoneIsAsIfTheBranchGaveZeros) {
  const Model model = tower();
  at::manual_seed(1);
  const at::Tensor x = at::randn({3, 4});
  for (const auto& [names, weights] :
       std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>>{
           {{"one"}, {"wa"}},
           {{"two"}, {"wc"}},
           {{"last"}, {"wf"}},
           {{"two", "last", "one"}, {"wa", "wc", "wf"}}}) {
    Model zeros = model;
    for (const std::string& name : weights) {
      const at::Tensor value = to_aten(model.graph.initializer(name)->tensor, false);
      zeros.graph.set_initializer(name, to_constant(at::zeros_like(value)));
    }
    const Model removed = remove_blocks(model, names);
    verify(removed);
    EXPECT_EQ(removed.graph.initializer(weights[0]), nullptr);
    EXPECT_EQ(difference(run_model(removed, {x})[0], run_model(zeros, {x})[0]), 0);
  }
}

TEST(ResidualBlocks, NetworksHaveOnePerIdentityShortcut) {
  ModelOptions options;
  EXPECT_EQ(residual_blocks(build_model("resnet20", options)).size(), 7u) << "nine blocks, two project";
  const Model vit = build_model("vit", options);
  EXPECT_EQ(residual_blocks(vit).size(), 12u) << "attention and feed-forward of six layers";
}

TEST(ResidualBlocks, ARectifierThatWouldFollowAnotherGoesToo) {
  const Model model = build_model("resnet20", {});
  const auto rectifiers = [](const Model& of) {
    return std::ranges::count_if(of.graph.nodes, [](const Node& node) { return node.is("Relu"); });
  };
  std::vector<std::string> names;
  for (const ResidualBlock& block : residual_blocks(model)) names.push_back(block.name);
  const Model removed = remove_blocks(model, names);
  verify(removed);
  // Of each block the one between its convolutions and the one behind its sum.
  EXPECT_EQ(rectifiers(model) - rectifiers(removed), 2 * static_cast<int64_t>(names.size()));
}

TEST(ResidualBlocks, ALiveModuleKeepsTheRest) {
  GraphModule module(build_model("resnet8", {}));
  const std::vector<ResidualBlock> blocks = residual_blocks(module.graph());
  ASSERT_FALSE(blocks.empty());
  const at::Tensor head = module.tensor("fc.weight");
  const EditReport report = remove_blocks(module, {blocks[0].name});
  for (const std::string& name : blocks[0].initializers) EXPECT_THAT(report.removed, Contains(name));
  EXPECT_TRUE(module.tensor("fc.weight").is_same(head));
  module.forward(at::randn({2, 3, 32, 32})).sum().backward();
  EXPECT_TRUE(head.grad().defined());
}

TEST(ResidualBlocks, BadNames) {
  const Model model = tower();
  EXPECT_THAT(error_of([&] { remove_blocks(model, {"tow"}); }), HasSubstr("did you mean 'two'"));
  EXPECT_THAT(error_of([&] { remove_blocks(model, {"both"}); }), HasSubstr("no residual block 'both'"));
  EXPECT_THAT(error_of([&] { remove_blocks(model, {"one", "one"}); }), HasSubstr("named twice"));
  EXPECT_TRUE(remove_blocks(model, {}) == model);
}

}  // namespace
}  // namespace mc
