#include <numeric>

#include "mc/onnx/onnx.h"
#include "tests/base/error_of.h"
#include "tests/module/module_testing.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::random_images;
using testing::small_cnn;
using testing::small_cnn_model;
using ::testing::UnorderedElementsAre;

const std::vector<int64_t> kKept = {5, 0, 2};

// Cuts the stem's output channels, with everything that counts them.
void cut_stem(Edit& edit) {
  edit.slice("stem.weight", 0, kKept);
  for (const char* name : {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"})
    edit.slice(name, 0, kKept);
  edit.slice("body.weight", 1, kKept);
}

// Keeps one moment a parameter, as an optimizer does.
struct Moments : StateCarrier {
  std::map<std::string, at::Tensor> by_name;
  int edits = 0;

  void on_edit(const EditReport& report) override {
    ++edits;
    for (const auto& [fresh, old] : report.renamed) {
      if (const auto moved = by_name.extract(old)) by_name[fresh] = moved.mapped();
    }
    for (const auto& [name, slices] : report.sliced) {
      if (by_name.contains(name)) by_name[name] = apply_slices(by_name[name], slices);
    }
    for (const std::string& name : report.removed) by_name.erase(name);
  }
};

TEST(Edit, CutsChannelsWithStateAndMoments) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  Moments moments;
  for (const std::string& name : module.names(Role::kWeight))
    moments.by_name[name] = module.tensor(name).detach() * 2;
  module.attach(&moments);
  const at::Tensor head = module.tensor("head.weight"), stem = module.tensor("stem.weight");
  module.forward(random_images(2)).sum().backward();

  const EditReport report = module.edit(cut_stem);
  EXPECT_EQ(report.sliced.size(), 6u);
  EXPECT_THAT(report.removed, ElementsAre());
  EXPECT_THAT(report.added, ElementsAre());
  EXPECT_THAT(report.reset, ElementsAre());

  const at::Tensor index = at::tensor(kKept);
  EXPECT_EQ(difference(module.tensor("stem.weight"), reference->stem->weight.index_select(0, index)), 0);
  EXPECT_EQ(difference(module.tensor("body.weight"), reference->body->weight.index_select(1, index)), 0);
  EXPECT_EQ(
      difference(module.tensor("bn.running_var"), reference->bn->running_var.index_select(0, index)) > 0,
      true)
      << "the forward in training moved the statistics before the cut";
  EXPECT_TRUE(module.tensor("head.weight").is_same(head)) << "optimizers hold this tensor";
  EXPECT_TRUE(head.grad().defined());
  EXPECT_FALSE(module.tensor("stem.weight").is_same(stem));
  EXPECT_FALSE(module.tensor("stem.weight").grad().defined());
  EXPECT_TRUE(module.tensor("stem.weight").requires_grad());
  EXPECT_EQ(module.named_parameters()["stem.weight"].size(0), 3);
  EXPECT_EQ(moments.edits, 1);
  for (const std::string& name : module.names(Role::kWeight)) {
    EXPECT_EQ(difference(moments.by_name[name], module.tensor(name) * 2), 0) << name;
  }

  // Cut channels that did not matter: the same as the original with them masked out behind the norm.
  module.eval();
  reference->eval();
  const at::NoGradGuard no_grad;
  reference->bn->running_mean.copy_(at::zeros(6));
  reference->bn->running_mean.index_copy_(0, index, module.tensor("bn.running_mean"));
  reference->bn->running_var.index_copy_(0, index, module.tensor("bn.running_var"));
  at::Tensor kept = at::zeros({6});
  kept.index_fill_(0, index, 1);
  const at::Tensor image = random_images(2);
  const at::Tensor map = at::relu(reference->bn(reference->stem(image))) * kept.view({6, 1, 1});
  EXPECT_LT(difference(module.forward(image), reference->head(reference->body(map).mean({2, 3}))), 1e-5);
}

TEST(Edit, IsAllOrNothing) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  Moments moments;
  module.attach(&moments);
  module.eval();
  const at::Tensor image = random_images(2);
  const at::Tensor before = module.forward(image);
  const std::string broken = error_of([&] {
    module.edit([](Edit& edit) {
      edit.slice("stem.weight", 0, {0, 1});
      edit.model.graph.nodes.erase(edit.model.graph.nodes.begin());
    });
  });
  EXPECT_THAT(broken, HasSubstr("stem_out"));
  EXPECT_THROW(module.edit([](Edit&) { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_THAT(error_of([&] { module.edit([](Edit& e) { e.slice("stem.wait", 0, {0}); }); }),
              HasSubstr("stem.weight"));
  EXPECT_THAT(error_of([&] { module.edit([](Edit& e) { e.slice("stem.weight", 4, {0}); }); }),
              HasSubstr("axis 4"));
  EXPECT_THAT(error_of([&] { module.edit([](Edit& e) { e.slice("stem.weight", 0, {6}); }); }),
              HasSubstr("6"));
  EXPECT_THAT(error_of([&] { module.edit([](Edit& e) { e.renames["a"] = "stem.weight"; }); }),
              HasSubstr("'a'"));
  EXPECT_THAT(error_of([&] { module.edit([](Edit& e) { e.rename("stem.wait", "a"); }); }),
              HasSubstr("stem.weight"));
  EXPECT_THAT(error_of([&] { module.edit([](Edit& e) { e.rename("bn.bias", "relu_out"); }); }),
              HasSubstr("relu_out"));
  EXPECT_EQ(moments.edits, 0);
  EXPECT_EQ(difference(module.forward(image), before), 0);
  EXPECT_EQ(difference(module.tensor("stem.weight"), reference->stem->weight), 0);
}

TEST(Edit, RenamesAddsRemovesAndResets) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  module.set_mask("head.weight", module.tensor("head.weight").detach() > 0);
  const at::Tensor head = module.tensor("head.weight");
  const EditReport report = module.edit([](Edit& edit) {
    Graph& graph = edit.model.graph;
    edit.rename("head.weight", "interim");
    edit.rename("interim", "classifier.weight");
    // The norm after the stem goes; a bias comes; the body's bias gets another shape of reader.
    for (Node& node : graph.nodes) {
      if (node.name == "stem") node.inputs.push_back("stem.bias");
      if (node.name == "relu") node.inputs[0] = "stem_out";
    }
    graph.add_initializer("stem.bias", to_constant(at::ones({6})));
    graph.drop_unused();
  });
  EXPECT_THAT(report.added, ElementsAre("stem.bias"));
  EXPECT_THAT(report.removed,
              UnorderedElementsAre("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"));
  EXPECT_EQ(report.renamed.at("classifier.weight"), "head.weight");
  EXPECT_EQ(report.renamed.at("classifier.weight.mask"), "head.weight.mask");
  EXPECT_TRUE(module.tensor("classifier.weight").is_same(head));
  EXPECT_THAT(module.masked(), ElementsAre("classifier.weight"));
  EXPECT_EQ(module.named_buffers().size(), 1u);
  const at::Tensor image = random_images(2);
  EXPECT_EQ(module.forward(image).size(1), 5);

  const EditReport second = module.edit([](Edit& edit) {
    edit.model.graph.set_initializer("classifier.weight", to_constant(at::ones({7, 4})));
    edit.model.graph.set_initializer("head.bias", to_constant(at::zeros({7})));
    edit.model.graph.outputs[0].type = Type::tensor(DType::kFloat);
    edit.model.graph.erase_initializer("classifier.weight.mask");
  });
  EXPECT_THAT(second.reset, UnorderedElementsAre("classifier.weight", "head.bias"));
  EXPECT_EQ(module.forward(image).size(1), 7);
}

TEST(Edit, NewValuesOfTheSameShapeGoIntoTheSameTensor) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  const at::Tensor bias = module.tensor("head.bias");
  module.edit(
      [](Edit& edit) { edit.model.graph.set_initializer("head.bias", to_constant(at::full({5}, 2.0f))); });
  EXPECT_TRUE(module.tensor("head.bias").is_same(bias));
  EXPECT_EQ(difference(bias, at::full({5}, 2.0)), 0);
}

TEST(Edit, FrozenParametersStayFrozen) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  for (const char* name : {"stem.weight", "head.bias"}) module.tensor(name).set_requires_grad(false);
  module.edit(cut_stem);
  EXPECT_FALSE(module.tensor("stem.weight").requires_grad());
  EXPECT_FALSE(module.tensor("head.bias").requires_grad());
  EXPECT_FALSE(module.named_parameters()["stem.weight"].requires_grad());
  EXPECT_TRUE(module.tensor("body.weight").requires_grad());
}

TEST(Masks, ZeroTheParameterAndHoldIt) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  const at::Tensor weight = module.tensor("body.weight");
  const at::Tensor mask = reference->body->weight.detach() > 0;
  module.set_mask("body.weight", mask);
  EXPECT_EQ(difference(weight, reference->body->weight * mask), 0);
  EXPECT_EQ(module.mask("body.weight").strides(), weight.strides());
  EXPECT_FALSE(module.mask("stem.weight").defined());
  {
    const at::NoGradGuard no_grad;
    weight.add_(1);
  }
  module.apply_masks();
  EXPECT_EQ(((weight == 0) == mask.logical_not()).all().item<bool>(), true);

  module.set_mask("body.weight", at::ones_like(mask), /*latent=*/true);
  EXPECT_TRUE(module.mask("body.weight").all().item<bool>());
  EXPECT_THAT(module.masked(), ElementsAre("body.weight"));
  EXPECT_THAT(module.names(Role::kMask), ElementsAre("body.weight.mask"));
  module.set_mask("body.weight", {});
  EXPECT_FALSE(module.mask("body.weight").defined());
  EXPECT_THAT(module.masked(), ElementsAre());
  EXPECT_EQ(module.named_buffers().size(), 2u);

  EXPECT_THAT(error_of([&] { module.set_mask("body.weight", mask.to(at::kFloat)); }), HasSubstr("bool"));
  EXPECT_THAT(error_of([&] { module.set_mask("stem.weight", mask); }), HasSubstr("stem.weight"));
  EXPECT_THAT(error_of([&] { module.set_mask("bn.running_var", at::ones({6}, at::kBool)); }),
              HasSubstr("statistic"));
}

TEST(Masks, LatentOnesLeaveTheParameter) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  module.set_mask("head.weight", at::zeros({5, 4}, at::kBool), /*latent=*/true);
  EXPECT_EQ(difference(module.tensor("head.weight"), reference->head->weight), 0);
  module.apply_masks();
  EXPECT_EQ(module.tensor("head.weight").abs().max().item<double>(), 0);
}

TEST(Masks, FollowCutsAndFiles) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  const at::Tensor mask = reference->stem->weight.detach() > 0;
  module.set_mask("stem.weight", mask);
  const EditReport report = module.edit(cut_stem);
  const at::Tensor cut = mask.index_select(0, at::tensor(kKept));
  EXPECT_TRUE(report.sliced.contains("stem.weight.mask"));
  EXPECT_TRUE(module.mask("stem.weight").equal(cut));

  const auto bytes = std::make_shared<std::string>(to_bytes(module.graph()));
  GraphModule loaded(parse_onnx(std::as_bytes(std::span(*bytes)), bytes));
  EXPECT_THAT(loaded.masked(), ElementsAre("stem.weight"));
  EXPECT_TRUE(loaded.mask("stem.weight").equal(cut));
  for (const auto& [name, tensor] : module.state()) EXPECT_TRUE(loaded.tensor(name).equal(tensor)) << name;
  module.eval();
  loaded.eval();
  const at::Tensor image = random_images(2);
  EXPECT_EQ(difference(loaded.forward(image), module.forward(image)), 0);
}

TEST(Masks, ArePartOfTheState) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference)), fresh(small_cnn_model(*reference));
  const at::Tensor mask = reference->head->weight.detach() > 0;
  module.set_mask("head.weight", mask);
  fresh.load_state(module.state());
  EXPECT_TRUE(fresh.mask("head.weight").equal(mask));
  EXPECT_EQ(difference(fresh.tensor("head.weight"), module.tensor("head.weight")), 0);
}

}  // namespace
}  // namespace mc
