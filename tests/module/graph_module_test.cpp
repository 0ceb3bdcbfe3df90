#include "mc/module/graph_module.h"

#include <map>
#include <set>

#include "tests/base/error_of.h"
#include "tests/module/module_testing.h"

namespace mc {
namespace {

using ::testing::AllOf;
using testing::difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::random_images;
using testing::small_cnn;
using testing::small_cnn_model;
using ::testing::UnorderedElementsAre;

TEST(GraphModule, EvalEqualsLibTorch) {
  auto reference = small_cnn();
  reference->eval();
  GraphModule module(small_cnn_model(*reference));
  module.eval();
  const at::Tensor image = random_images(4);
  EXPECT_LT(difference(module.forward(image), reference->forward(image)), 1e-5);
}

TEST(GraphModule, TenStepsOfTrainingEqualLibTorch) {
  for (const bool channels_last : {false, true}) {
    auto reference = small_cnn();
    ModuleOptions options;
    options.channels_last = channels_last;
    GraphModule module(small_cnn_model(*reference), options);
    const at::Tensor label = at::arange(8) % 5;
    for (int step = 0; step < 10; ++step) {
      const at::Tensor image = random_images(8, 100 + step);
      const at::Tensor expected = at::cross_entropy_loss(reference->forward(image), label);
      const at::Tensor actual = at::cross_entropy_loss(module.forward(image), label);
      EXPECT_NEAR(actual.item<double>(), expected.item<double>(), 1e-5) << "step " << step;
      expected.backward();
      actual.backward();
      for (const auto& item : reference->named_parameters()) {
        EXPECT_LT(difference(module.tensor(item.key()).grad(), item.value().grad()), 1e-4) << item.key();
      }
      testing::sgd_step(*reference, 0.1);
      testing::sgd_step(module, 0.1);
    }
    // PyTorch's rule: the running variance is the unbiased one.
    EXPECT_LT(difference(module.tensor("bn.running_var"), reference->bn->running_var), 1e-4);
    EXPECT_LT(difference(module.tensor("bn.running_mean"), reference->bn->running_mean), 1e-4);
  }
}

TEST(GraphModule, RegistersStateUnderInitializerNames) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  std::vector<std::string> parameters, buffers;
  for (const auto& item : module.named_parameters()) parameters.push_back(item.key());
  for (const auto& item : module.named_buffers()) buffers.push_back(item.key());
  EXPECT_THAT(parameters, UnorderedElementsAre("stem.weight", "bn.weight", "bn.bias", "body.weight",
                                               "body.bias", "head.weight", "head.bias"));
  EXPECT_THAT(buffers, UnorderedElementsAre("bn.running_mean", "bn.running_var"));
  EXPECT_TRUE(module.named_parameters()["stem.weight"].is_same(module.tensor("stem.weight")));
  EXPECT_TRUE(module.tensor("stem.weight").requires_grad());
  EXPECT_FALSE(module.tensor("bn.running_var").requires_grad());
}

TEST(GraphModule, TakesAwkwardNames) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (float[n,2] x) => (float[n,2] y) {
      a = MatMul (x, w)
      b = MatMul (a, "w.inner")
      c = MatMul (b, "w..inner")
      y = MatMul (c, "/deep/w.")
    })");
  for (const char* name : {"w", "w.inner", "w..inner", "/deep/w."})
    testing::add_tensor(model, name, at::eye(2) * 2);
  GraphModule module(model);
  std::vector<std::string> names;
  for (const auto& item : module.named_parameters()) names.push_back(item.key());
  EXPECT_THAT(names, UnorderedElementsAre("w", "w.inner", "w._.inner", "/deep/w._"));
  EXPECT_EQ(module.names(Role::kWeight).size(), 4u);
  EXPECT_EQ(difference(module.forward(at::ones({1, 2})), at::full({1, 2}, 16.0)), 0);
}

TEST(GraphModule, TheModelsBytesAreNotTrained) {
  auto reference = small_cnn();
  const Model model = small_cnn_model(*reference);
  GraphModule module(model);
  const at::Tensor before = to_aten(model.graph.initializer("body.weight")->tensor, true);
  const at::NoGradGuard no_grad;
  module.tensor("body.weight").add_(1);
  module.train();
  module.forward(random_images(2));
  EXPECT_EQ(difference(to_aten(model.graph.initializer("body.weight")->tensor, false), before), 0);
  EXPECT_EQ(difference(to_aten(module.graph().graph.initializer("body.weight")->tensor, false), before + 1),
            0);
  EXPECT_EQ(difference(to_aten(module.structure().graph.initializer("body.weight")->tensor, false), before),
            0);
}

TEST(GraphModule, InferencePlanEqualsThePlanAsWrittenAndFollowsChanges) {
  auto reference = small_cnn();
  reference->eval();
  GraphModule module(small_cnn_model(*reference));
  module.eval();
  const at::Tensor image = random_images(3);
  const at::NoGradGuard no_grad;
  const at::Tensor expected = reference->forward(image);
  for (int i = 0; i < 3; ++i) EXPECT_LT(difference(module.forward(image), expected), 1e-5) << "run " << i;

  module.tensor("bn.bias").add_(0.5);
  reference->bn->bias.add_(0.5);
  const at::Tensor changed = reference->forward(image);
  EXPECT_GT(difference(changed, expected), 1e-3);
  for (int i = 0; i < 3; ++i) EXPECT_LT(difference(module.forward(image), changed), 1e-5) << "run " << i;

  // Training moves the statistics too.
  module.train();
  module.forward(image);
  module.eval();
  reference->train();
  reference->forward(image);
  reference->eval();
  for (int i = 0; i < 3; ++i) EXPECT_LT(difference(module.forward(image), reference->forward(image)), 1e-5);
}

TEST(GraphModule, TapsGiveValuesWithGradients) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  const at::Tensor image = random_images(2);
  const auto tapped = module.forward_tapped({image}, {"relu_out", "stem", "image", "logits"});
  ASSERT_EQ(tapped.values.size(), 4u);
  const at::Tensor stem = reference->stem(image);
  EXPECT_LT(difference(tapped.values[1], stem), 1e-5);
  EXPECT_LT(difference(tapped.values[0], at::relu(reference->bn(stem))), 1e-5);
  EXPECT_EQ(difference(tapped.values[2], image), 0);
  EXPECT_EQ(difference(tapped.values[3], tapped.outputs[0]), 0);
  tapped.values[0].sum().backward();
  EXPECT_TRUE(module.tensor("stem.weight").grad().defined());
  EXPECT_FALSE(module.tensor("head.weight").grad().defined());
  EXPECT_THAT(error_of([&] { module.forward_tapped({image}, {"relu_oot"}); }),
              AllOf(HasSubstr("relu_oot"), HasSubstr("relu_out")));
}

TEST(GraphModule, TapsResolveThroughProvenance) {
  auto reference = small_cnn();
  Model model = small_cnn_model(*reference);
  for (Node& node : model.graph.nodes) {
    if (node.name == "relu") set_metadata(node.metadata, kSources, "old_bn\nold_relu");
  }
  GraphModule module(model);
  const auto tapped = module.forward_tapped({random_images(2)}, {"old_relu", "relu_out"});
  EXPECT_EQ(difference(tapped.values[0], tapped.values[1]), 0);
}

TEST(GraphModule, VisitsEveryValueInOrder) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  module.eval();
  std::vector<std::string> seen;
  const auto outputs =
      module.forward_visiting({random_images(2)}, [&](const std::string& name, const at::Tensor& t) {
        EXPECT_TRUE(t.defined());
        seen.push_back(name);
      });
  EXPECT_EQ(outputs.size(), 1u);
  EXPECT_THAT(
      seen, ElementsAre("image", "stem_out", "bn_out", "relu_out", "body_out", "pool_out", "flat", "logits"));
}

TEST(GraphModule, ObserversShowWhatIsWantedOfTheFoldedPlan) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  module.eval();
  const at::Tensor image = random_images(2);
  std::map<std::string, at::Tensor> expected;
  const auto outputs = module.forward_visiting(
      {image}, [&](const std::string& name, const at::Tensor& t) { expected[name] = t; });
  const std::vector<std::vector<std::string>> choices = {
      {}, {"relu_out"}, {"image", "stem_out", "bn_out", "pool_out"}, {"body_out", "logits"}};
  for (const auto& wanted : choices) {
    std::vector<std::string> seen;
    const GraphModule::Observer observe = module.observer(wanted);
    const auto observed = observe({image}, [&](const std::string& name, const at::Tensor& t) {
      seen.push_back(name);
      EXPECT_LT(difference(t, expected.at(name)), 1e-5) << name;
    });
    EXPECT_EQ(seen, wanted);
    EXPECT_LT(difference(observed.at(0), outputs.at(0)), 1e-5);
  }
  module.observer({"nothing.like.it"})(
      {image}, [](const std::string& name, const at::Tensor&) { ADD_FAILURE() << name; });
}

// A residual sum lies where its term lay; both are shown all the same.
TEST(GraphModule, SumObserversShowATermBeforeItsSum) {
  Model model = parse_model(R"(
    <ir_version: 10, opset_import: ["" : 17]>
    net (float[2,3,8,8] x) => (float[2,3,8,8] y, float[2,3,8,8] kept) {
      a = Neg (x)
      b = Abs (x)
      s = Add (a, b)
      first = Relu (s)
      kept = Neg (first)
      t = Add (first, kept)
      u = Relu (t)
      v = Add (u, x)
      y = Relu (v)
    })");
  GraphModule module(std::move(model));
  module.eval();
  const at::Tensor x = random_images(2), before = x.clone();
  const std::map<std::string, at::Tensor> expected = {{"x", x},
                                                      {"a", -x},
                                                      {"b", x.abs()},
                                                      {"first", (x.abs() - x).relu()},
                                                      {"kept", -(x.abs() - x).relu()},
                                                      {"u", at::zeros_like(x)},
                                                      {"y", x.relu()}};
  for (const auto& wanted : std::vector<std::vector<std::string>>{
           {"x", "a", "b", "first", "kept", "u", "y"}, {"first"}, {"a", "y"}, {"b", "u"}}) {
    std::multiset<std::string> seen;
    int sums = 0;
    const auto look = [&](const std::string& name, const at::Tensor& t) {
      seen.insert(name);
      EXPECT_TRUE(t.equal(expected.at(name))) << name;
    };
    const auto outputs = module.sum_observer(wanted)(
        {x}, look,
        [&](const std::string& term, const std::string& sum, const at::Tensor& t, const auto& compute) {
          ++sums;
          look(term, t);
          compute(0, 100);
          compute(100, t.numel());
          look(sum, t);
        });
    EXPECT_EQ(seen, std::multiset<std::string>(wanted.begin(), wanted.end()));
    EXPECT_EQ(sums, wanted.size() == 7 ? 1 : 0);  // only a with first: neither sums nor inputs are terms
    EXPECT_TRUE(outputs.at(0).equal(expected.at("y")));
    EXPECT_TRUE(outputs.at(1).equal(expected.at("kept")));
    EXPECT_TRUE(x.equal(before));
  }
}

TEST(GraphModule, SaysWhatDoesNotFit) {
  auto reference = small_cnn();
  GraphModule module(small_cnn_model(*reference));
  EXPECT_THAT(error_of([&] { module.forward(at::zeros({2, 3, 8})); }),
              AllOf(HasSubstr("image"), HasSubstr("[2,3,8]")));
  EXPECT_THAT(error_of([&] { module.forward(at::zeros({2, 4, 8, 8})); }), HasSubstr("[2,4,8,8]"));
  EXPECT_THAT(error_of([&] { module.forward(at::zeros({2, 3, 8, 8}, at::kLong)); }), HasSubstr("Long"));
  EXPECT_THAT(error_of([&] { module.forward(std::vector<at::Tensor>{}); }), HasSubstr("image"));
  EXPECT_THAT(error_of([&] { module.tensor("stem.weigth"); }), HasSubstr("stem.weight"));
  EXPECT_THAT(error_of([&] { module.role("nothing.like.it"); }), HasSubstr("nothing.like.it"));
}

TEST(GraphModule, ListsAllUnsupportedOperators) {
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17, "com.acme" : 1]>
    g (float[2] x) => (float[2] y) {
      [first] a = com.acme.Twist (x)
      [second] y = com.acme.Turn (a)
    })");
  EXPECT_THAT(error_of([&] { GraphModule module(model); }),
              AllOf(HasSubstr("first"), HasSubstr("Twist"), HasSubstr("second"), HasSubstr("Turn")));
}

TEST(GraphModule, NamesTheNodeThatFails) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (float[n,m] x) => (float[n,3] y) {
      [product] y = MatMul (x, w)
    })");
  testing::add_tensor(model, "w", at::ones({4, 3}));
  GraphModule module(model);
  EXPECT_THAT(error_of([&] { module.forward(at::ones({2, 5})); }),
              AllOf(HasSubstr("product"), HasSubstr("MatMul"), HasSubstr("[2,5]"), HasSubstr("[4,3]")));
}

TEST(GraphModule, RandomOperatorsFollowSeedAndStep) {
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (float[n] x) => (float[n] y) {
      ratio = Constant <value = float {0.5}> ()
      y = Dropout (x, ratio)
    })");
  GraphModule module(model);
  const at::Tensor x = at::ones({64});
  module.set_random(3, 1);
  const at::Tensor first = module.forward(x), again = module.forward(x);
  module.set_random(3, 2);
  const at::Tensor next = module.forward(x);
  EXPECT_EQ(difference(first, again), 0);
  EXPECT_GT(difference(first, next), 0);
  EXPECT_EQ(((first == 0) | (first == 2)).all().item<bool>(), true);
  module.eval();
  EXPECT_EQ(difference(module.forward(x), x), 0);
}

TEST(GraphModule, MixedConstantsKeepTheirShapeArithmetic) {
  // The target shape is computed from constants and from the input's own shape.
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (float[n,2,3] x) => (float[n,6] y) {
      two = Constant <value = int64[1] {2}> ()
      three = Constant <value = int64[1] {3}> ()
      six = Mul (two, three)
      zero = Constant <value = int64[1] {0}> ()
      shape = Shape (x)
      batch = Gather <axis = 0> (shape, zero)
      target = Concat <axis = 0> (batch, six)
      y = Reshape (x, target)
    })");
  GraphModule module(model);
  const at::Tensor x = at::arange(12, at::kFloat).view({2, 2, 3});
  EXPECT_EQ(difference(module.forward(x), x.view({2, 6})), 0);
  EXPECT_EQ(module.names(Role::kWeight).size(), 0u);
}

TEST(GraphModule, LoadsStateAllOrNothing) {
  auto reference = small_cnn(1);
  auto other = small_cnn(2);
  GraphModule module(small_cnn_model(*reference)), source(small_cnn_model(*other));
  auto values = source.state();
  values.erase("bn.bias");
  values["extra"] = at::ones({1});
  values["head.bias"] = at::ones({9});
  const at::Tensor before = module.tensor("stem.weight").clone();
  EXPECT_THAT(error_of([&] { module.load_state(values); }),
              AllOf(HasSubstr("bn.bias"), HasSubstr("extra"), HasSubstr("head.bias")));
  EXPECT_EQ(difference(module.tensor("stem.weight"), before), 0);
  module.load_state(source.state());
  for (const auto& [name, tensor] : source.state())
    EXPECT_EQ(difference(module.tensor(name), tensor), 0) << name;
}

TEST(GraphModule, RunsControlFlowWithValuesAroundIt) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (float[n,2] x, bool flag) => (float[n,2] y) {
      scaled = MatMul (x, w)
      y = If (flag) <
        then_branch = yes () => (float[n,2] a) { a = Add (scaled, x) },
        else_branch = no () => (float[n,2] b) { half = Constant <value = float {0.5}> () b = Mul (scaled, half) }
      >
    })");
  testing::add_tensor(model, "w", at::eye(2) * 3);
  GraphModule module(model);
  const at::Tensor x = at::ones({1, 2});
  const at::Tensor yes = module.forward({x, at::scalar_tensor(true, at::kBool)})[0];
  EXPECT_EQ(difference(yes, at::full({1, 2}, 4.0)), 0);
  const at::Tensor no = module.forward({x, at::scalar_tensor(false, at::kBool)})[0];
  EXPECT_EQ(difference(no, at::full({1, 2}, 1.5)), 0);
  yes.sum().backward();
  EXPECT_EQ(difference(module.tensor("w").grad(), at::ones({2, 2})), 0);
}

TEST(GraphModule, LoopsTrainTheWeightsThatTheyCapture) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17]>
    g (float[2] x, int64 count) => (float[2] y) {
      go = Constant <value = bool {1}> ()
      y = Loop (count, go, x) <
        body = step (int64 i, bool on, float[2] v) => (bool again, float[2] next) {
          again = Identity (on)
          next = MatMul (w, v)
        }
      >
    })");
  testing::add_tensor(model, "w", at::eye(2) * 3);
  GraphModule module(model);
  EXPECT_EQ(module.role("w"), Role::kWeight);
  const at::Tensor y = module.forward({at::ones({2}), at::scalar_tensor(3, at::kLong)})[0];
  EXPECT_EQ(difference(y, at::full({2}, 27.0)), 0);
  y.sum().backward();
  // d/dw of the sum of w w w x at w = 3 I, x = 1: each of the three factors gives 9 everywhere.
  EXPECT_EQ(difference(module.tensor("w").grad(), at::full({2, 2}, 27.0)), 0);
}

TEST(GraphModule, InlinesFunctionsOfTheModel) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
    g (float[n,2] x) => (float[n,2] y) {
      [call] y = local.Twice <factor = 3.0> (x, w)
    }
    <domain: "local", opset_import: ["" : 17]>
    Twice <factor> (a, b) => (d) {
      c = MatMul (a, b)
      f = Constant <value_float : float = @factor> ()
      d = Mul (c, f)
    })");
  testing::add_tensor(model, "w", at::eye(2));
  GraphModule module(model);
  EXPECT_EQ(module.role("w"), Role::kWeight);
  EXPECT_EQ(difference(module.forward(at::ones({1, 2})), at::full({1, 2}, 3.0)), 0);
}

}  // namespace
}  // namespace mc
