#include "tests/ops/interpreter.h"
#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::expect_close;
using testing::ints;
using testing::run_op;
using testing::run_op1;

TEST(Constant, EveryForm) {
  expect_close(run_op1("y = Constant <value: tensor = float[2] {1, 2}> ()", {}), at::tensor({1.f, 2.f}));
  expect_close(run_op1("y = Constant <value_int = 3> ()", {}), at::scalar_tensor(3, at::kLong));
  expect_close(run_op1("y = Constant <value_ints = [3, 4]> ()", {}), ints({3, 4}));
  expect_close(run_op1("y = Constant <value_float = 0.5> ()", {}), at::scalar_tensor(0.5f));
  expect_close(run_op1("y = Constant <value_floats = [0.5, 1.5]> ()", {}), at::tensor({0.5f, 1.5f}));
  EXPECT_EQ(run_op("y = Constant <value_strings = [\"a\", \"b\"]> ()", {})[0].extra->strings.size(), 2u);
  EXPECT_THROW(run_op("y = Constant ()", {}), Error);
}

TEST(Constant, Sparse) {
  Node node;
  node.op_type = "Constant";
  node.outputs = {"y"};
  Attribute attribute;
  attribute.name = "sparse_value";
  attribute.kind = Attribute::Kind::kSparseTensor;
  const std::vector<float> values = {5, 6};
  const std::vector<int64_t> positions = {0, 1, 1, 2};
  Attribute::Sparse sparse;
  sparse.values = Tensor::floats({2}, values);
  sparse.indices = Tensor::int64s({2, 2}, positions);
  sparse.dims = {2, 3};
  attribute.value = sparse;
  node.set(attribute);
  Model model;
  model.set_opset("", 21);
  model.graph.nodes = {node};
  model.graph.outputs.emplace_back().name = "y";
  const at::Tensor y = testing::Interpreter(model).run({}).at(0).tensor;
  expect_close(y, at::tensor({0.f, 5.f, 0.f, 0.f, 0.f, 6.f}).reshape({2, 3}));
}

TEST(Constant, Fills) {
  expect_close(run_op1("y = ConstantOfShape (s)", {ints({2, 1})}), at::zeros({2, 1}));
  expect_close(run_op1("y = ConstantOfShape <value: tensor = int32[1] {7}> (s)", {ints({2})}),
               at::tensor({7, 7}, at::kInt));
  EXPECT_THROW(run_op1("y = ConstantOfShape (s)", {ints({-1})}), Error);
  const auto scalar = [](int64_t value) { return at::scalar_tensor(value, at::kLong); };
  expect_close(run_op1("y = Range (a, b, c)", {scalar(10), scalar(3), scalar(-3)}), ints({10, 7, 4}));
  expect_close(run_op1("y = Range (a, b, c)", {scalar(3), scalar(1), scalar(1)}), at::empty({0}, at::kLong));
  EXPECT_THROW(run_op1("y = Range (a, b, c)", {scalar(3), scalar(1), scalar(0)}), Error);
  expect_close(run_op1("y = EyeLike <k = 1, dtype = 7> (x)", {at::zeros({2, 3})}),
               ints({0, 1, 0, 0, 0, 1}).reshape({2, 3}));
}

TEST(Constant, OneHotAndNonZero) {
  const at::Tensor hot =
      run_op1("y = OneHot (i, d, v)", {ints({1, -1, 5}), ints({3}), at::tensor({2.f, 9.f})});
  expect_close(hot, at::tensor({2.f, 9.f, 2.f, 2.f, 2.f, 9.f, 2.f, 2.f, 2.f}).reshape({3, 3}));
  expect_close(run_op1("y = NonZero (x)", {at::tensor({1.f, 0.f, 2.f, 0.f}).reshape({2, 2})}),
               ints({0, 1, 0, 0}).reshape({2, 2}));
}

TEST(Random, DependsOnSeedStepAndNodeOnly) {
  RunContext run;
  run.seed = 5;
  const auto draw = [&] {
    return run_op("y = RandomNormalLike (x)", {at::zeros({1000})}, 21, true, {}, run)[0].tensor;
  };
  const at::Tensor first = draw();
  expect_close(draw(), first, 0, 0);
  run.step = 1;
  EXPECT_FALSE(at::equal(draw(), first));
  EXPECT_NEAR(first.mean().item<double>(), 0.0, 0.15);
  EXPECT_NEAR(first.std().item<double>(), 1.0, 0.1);
  const at::Tensor coins = run_op1("y = Bernoulli (p)", {at::full({10000}, 0.3f)});
  EXPECT_NEAR(coins.mean().item<double>(), 0.3, 0.02);
}

TEST(Control, IfSeesOuterValues) {
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[2] x, bool c) => (float[2] y) {
      y = If (c) <then_branch: graph = t () => (float[2] r) { r = Neg (x) },
                  else_branch: graph = e () => (float[2] s) { s = Identity (x) }>
    })");
  const at::Tensor x = at::tensor({1.f, 2.f});
  testing::Interpreter interpreter(model);
  expect_close(interpreter.run({x, at::scalar_tensor(true, at::kBool)})[0].tensor, -x);
  expect_close(interpreter.run({x, at::scalar_tensor(false, at::kBool)})[0].tensor, x);
}

TEST(Control, LoopCarriesAndStacks) {
  // carried doubles each turn; the loop ends when it passes 10, or after the trip count.
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (int64 n, float[1] x) => (float[1] last, float[k, 1] all) <float[1] ten = {10}> {
      last, all = Loop (n, "", x) <body: graph = b (int64 i, bool c, float[1] v) => (bool d, float[1] w, float[1] s) {
        w = Add (v, v)
        s = Identity (w)
        less = Less (w, ten)
        d = Squeeze (less)
      }>
    })");
  testing::Interpreter interpreter(model);
  auto outputs = interpreter.run({at::scalar_tensor(100, at::kLong), at::tensor({1.f})});
  expect_close(outputs[0].tensor, at::tensor({16.f}));
  expect_close(outputs[1].tensor, at::tensor({2.f, 4.f, 8.f, 16.f}).reshape({4, 1}));
  outputs = interpreter.run({at::scalar_tensor(0, at::kLong), at::tensor({1.f})});
  expect_close(outputs[0].tensor, at::tensor({1.f}));
  expect_close(outputs[1].tensor, at::empty({0, 1}));
}

}  // namespace
}  // namespace mc
