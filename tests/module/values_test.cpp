// Sequences, optionals and strings through the executor.
#include "mc/ops/sequence.h"

#include "mc/module/plan.h"
#include "tests/module/module_testing.h"

namespace mc {
namespace {

using testing::difference;

std::vector<Slot> run_plan(const std::string& text, std::vector<Slot> inputs) {
  const Plan plan(parse_model("<ir_version: 10, opset_import: [\"\" : 21]> g " + text), {});
  return plan.run(std::move(inputs), RunContext());
}

TEST(Values, PlanCarriesSequencesThroughLoopsAndBranches) {
  const std::string text =
      R"((int64 n, bool c, float[2] x, seq(float[2]) given) => (seq(float[2]) s, float[k,2] y, int64 length) {
    start = If (c) <then_branch: graph = t () => (seq(float[2]) p) { p = SequenceEmpty () },
                    else_branch: graph = e () => (seq(float[2]) q) { q = Identity (given) }>
    s = Loop (n, "", start) <body: graph = b (int64 i, bool go, seq(float[2]) before) => (bool on, seq(float[2]) after) {
      on = Identity (go)
      after = SequenceInsert (before, x)
    }>
    y = ConcatFromSequence <axis = 0, new_axis = 1> (s)
    length = SequenceLength (given)
  })";
  const at::Tensor x = at::tensor({1.f, 2.f}), z = at::tensor({5.f, 6.f});
  const at::Tensor three = at::scalar_tensor(3, at::kLong);
  auto outputs = run_plan(text, {three, at::scalar_tensor(true), x, sequence_slot({z})});
  EXPECT_EQ(outputs[0].extra->sequence.size(), 3u);
  EXPECT_LT(difference(outputs[1].tensor, at::stack({x, x, x})), 1e-9);
  EXPECT_EQ(outputs[2].tensor.item<int64_t>(), 1);
  outputs = run_plan(text, {three, at::scalar_tensor(false), x, sequence_slot({z})});
  EXPECT_LT(difference(outputs[1].tensor, at::stack({z, x, x, x})), 1e-9);
}

TEST(Values, PlanCarriesEmptyOptionals) {
  const std::string text = R"((optional(float[2]) o) => (bool has, optional(float[2]) same, float[2] y) {
    same = Identity (o)
    has = OptionalHasElement (same)
    y = If (has) <then_branch: graph = t () => (float[2] p) { p = OptionalGetElement (o) },
                  else_branch: graph = e () => (float[2] q) { q = Constant <value = float[2] {7, 8}> () }>
  })";
  auto outputs = run_plan(text, {empty_optional()});
  EXPECT_FALSE(outputs[0].tensor.item<bool>());
  EXPECT_TRUE(is_empty_optional(outputs[1]));
  EXPECT_LT(difference(outputs[2].tensor, at::tensor({7.f, 8.f})), 1e-9);
  outputs = run_plan(text, {Slot(at::tensor({1.f, 2.f}))});
  EXPECT_TRUE(outputs[0].tensor.item<bool>());
  EXPECT_LT(difference(outputs[2].tensor, at::tensor({1.f, 2.f})), 1e-9);
}

TEST(Values, PlanCarriesStrings) {
  const auto outputs = run_plan(R"((string[n] a) => (string[n] y, bool[n] hit)
    <string[1] suffix = {"!"}> {
    y = StringConcat (a, suffix)
    hit = RegexFullMatch <pattern = "h.*!"> (y)
  })",
                                {string_slot({"hello", "you"}, {2})});
  EXPECT_THAT(outputs[0].extra->strings, ::testing::ElementsAre("hello!", "you!"));
  EXPECT_TRUE(at::equal(outputs[1].tensor, at::tensor({1, 0}).to(at::kBool)));
}

// Tensors in, tensors out, sequences between: what a GraphModule takes. Weights train through them.
TEST(Values, ModuleTrainsThroughSequencesAndScan) {
  const char* text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[n,4] x) => (float[n,3] y) {
      h = MatMul (x, weight)
      parts = SplitToSequence <axis = 0, keepdims = 0> (h)
      rows = ConcatFromSequence <axis = 0, new_axis = 1> (parts)
      zero = Constant <value = float[3] {0, 0, 0}> ()
      total, y = Scan (zero, rows) <num_scan_inputs = 1, body: graph = b (float[3] before, float[3] e) => (float[3] after, float[3] out) {
        after = Add (before, e)
        out = Identity (after)
      }>
    })";
  Model model = parse_model(text);
  at::manual_seed(3);
  const at::Tensor weight = at::randn({4, 3}), x = at::randn({5, 4});
  testing::add_tensor(model, "weight", weight);
  GraphModule module(std::move(model));
  EXPECT_EQ(module.role("weight"), Role::kWeight);
  const at::Tensor y = module.forward(x);
  EXPECT_LT(difference(y, at::cumsum(at::matmul(x, weight), 0)), 1e-5);
  y.sum().backward();
  // Row t is in all sums from t on.
  const at::Tensor times = at::arange(5, 0, -1, at::kFloat).unsqueeze(1);
  EXPECT_LT(difference(module.tensor("weight").grad(), at::matmul((x * times).t(), at::ones({5, 3}))), 1e-4);
}

TEST(Values, ModuleRefusesAnOutputThatIsNoTensor) {
  GraphModule module(parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[n] x) => (seq(float[n]) s) { s = SequenceConstruct (x) })"));
  EXPECT_THROW(module.forward(at::zeros({2})), Error);
}

TEST(Values, RecurrentLayersTrainAndFoldForInference) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[T,N,3] x) => (float[T,1,N,2] y) { y = LSTM <hidden_size = 2> (x, w, r, b) })");
  at::manual_seed(5);
  testing::add_tensor(model, "w", at::randn({1, 8, 3}));
  testing::add_tensor(model, "r", at::randn({1, 8, 2}));
  testing::add_tensor(model, "b", at::randn({1, 16}));
  GraphModule module(std::move(model));
  EXPECT_EQ(module.parameters().size(), 3u);
  const at::Tensor x = at::randn({6, 2, 3});
  const at::Tensor first = module.forward(x);
  first.square().sum().backward();
  EXPECT_GT(module.tensor("r").grad().abs().max().item<float>(), 0);
  testing::sgd_step(module, 0.05);
  const at::Tensor second = module.forward(x);
  EXPECT_LT(second.square().sum().item<float>(), first.square().sum().item<float>());
  module.eval();
  const at::NoGradGuard no_grad;
  for (int run = 0; run < 3; ++run) EXPECT_LT(difference(module.forward(x), second), 1e-5) << run;
}

}  // namespace
}  // namespace mc
