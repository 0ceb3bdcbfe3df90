#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

TEST(Gemm, ScalesTransposesAndAdds) {
  const at::Tensor a = random({3, 2}), b = random({4, 3}), c = random({4});
  expect_close(run_op1("y = Gemm <alpha = 0.5, beta = 2.0, transA = 1, transB = 1> (a, b, c)", {a, b, c}),
               a.t().matmul(b.t()) * 0.5 + c * 2);
  expect_close(run_op1("y = Gemm <alpha = 3.0> (a, b)", {random({2, 3}), random({3, 4})}),
               random({2, 3}).matmul(random({3, 4})) * 3);
}

TEST(Gemm, MultipliesIntegersExactly) {
  const at::Tensor a = at::arange(6, at::kInt).view({2, 3}), b = at::arange(3, at::kInt).view({3, 1});
  const at::Tensor y = run_op1("y = Gemm (a, b, c)", {a, b, at::ones({1}, at::kInt)});
  EXPECT_TRUE(at::equal(y, at::tensor({6, 15}, at::kInt).view({2, 1})));
}

TEST(Gemm, HasTheRightGradient) {
  expect_gradient("y = Gemm <transB = 1, beta = 0.5> (a, b, c)",
                  {random({2, 3}), random({4, 3}), random({1, 4})});
}

TEST(Gemm, RejectsWhatIsNoMatrix) {
  EXPECT_THROW(run_op1("y = Gemm (a, b)", {random({2, 3, 4}), random({4, 2})}), Error);
  EXPECT_THROW(run_op1("y = Gemm (a, b)", {random({2, 3}), random({4, 2})}), Error);
}

TEST(MatMul, Broadcasts) {
  const at::Tensor a = random({2, 1, 3, 4}), b = random({5, 4, 2});
  const at::Tensor y = run_op1("y = MatMul (a, b)", {a, b});
  expect_close(y, (a.unsqueeze(-1) * b.unsqueeze(1)).sum(-2), 1e-4, 1e-5);
  expect_gradient("y = MatMul (a, b)", {random({2, 3}), random({3})});
}

TEST(MatMul, InfersShapes) {
  const auto shape = [](const std::string& a, const std::string& b) {
    return to_string(inferred("<ir_version: 10, opset_import: [\"\" : 13]> g (float" + a + " a, float" + b +
                                  " b) => (float y) { y = MatMul (a, b) }",
                              "y"));
  };
  EXPECT_EQ(shape("[B, 1, 3, 4]", "[5, 4, 2]"), "float[B,5,3,2]");
  EXPECT_EQ(shape("[4]", "[4, 2]"), "float[2]");
  EXPECT_EQ(shape("[N, 4]", "[4]"), "float[N]");
  EXPECT_THROW(shape("[3, 4]", "[5, 2]"), Error);
}

TEST(Einsum, FollowsItsEquation) {
  const at::Tensor a = random({2, 3, 4}), b = random({2, 4, 5});
  expect_close(run_op1("y = Einsum <equation = \"bij, bjk -> bik\"> (a, b)", {a, b}), at::bmm(a, b), 1e-4,
               1e-5);
  expect_close(run_op1("y = Einsum <equation = \"...ii\"> (a)", {random({2, 3, 3})}),
               random({2, 3, 3}).diagonal(0, 1, 2).sum(-1), 1e-4, 1e-5);
  EXPECT_THROW(run_op1("y = Einsum <equation = \"ij;jk\"> (a, b)", {a, b}), Error);
}

TEST(Einsum, InfersShapesAndCost) {
  const std::string text =
      "<ir_version: 10, opset_import: [\"\" : 13]> g (float[N, 3, 4] a, float[4, 5] b) =>"
      " (float y) { y = Einsum <equation = \"...j,jk->k...\"> (a, b) }";
  EXPECT_EQ(to_string(inferred(text, "y")), "float[5,N,3]");
  const Model model = op_model("y = Einsum <equation = \"ij,jk->ik\"> (a, b)", 13);
  const std::vector<Shape> in = {{2, 3}, {3, 4}}, out = {{2, 4}};
  EXPECT_EQ(find_op("", "Einsum", 13)->macs(model.graph.nodes[0], in, out), 24);
}

TEST(Gemm, KnowsItsOutputChannels) {
  const Model model = op_model("y = Gemm <transB = 1> (a, b, c)", 13);
  const Op* gemm = find_op("", "Gemm", 13);
  EXPECT_EQ(gemm->channel_axis(model.graph.nodes[0], 1, 2), 0);
  EXPECT_EQ(gemm->channel_axis(Node(), 1, 2), 1);
  EXPECT_EQ(find_op("", "MatMul", 13)->channel_axis(Node(), 1, 3), 2);
}

}  // namespace
}  // namespace mc::testing
