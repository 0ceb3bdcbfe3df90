// Microsoft's operators, where ONNX Runtime's CPU kernels do not tell (tests/python/test_contrib_ops.py has
// the rest): packed inputs, operators for other devices, roles, and bad input.
#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

std::vector<Slot> run_microsoft(const std::string& text, const std::vector<at::Tensor>& inputs) {
  return run_op(text, inputs, 21);
}

TEST(ContribAttention, PackedInputsMeanTheSameAsSeparateOnes) {
  const at::Tensor q = random({2, 3, 8}), k = random({2, 3, 8}) * 0.5, v = random({2, 3, 8}) + 1;
  const at::Tensor bias = random({24}) * 0.1;
  const std::string attributes = "com.microsoft.MultiHeadAttention <num_heads = 2> ";
  const at::Tensor expected = run_microsoft("y = " + attributes + "(q, k, v, b)", {q, k, v, bias})[0].tensor;
  const auto heads = [](const at::Tensor& x) { return x.view({2, 3, 2, 4}); };
  const at::Tensor all = at::stack({heads(q), heads(k), heads(v)}, 3);
  expect_close(run_microsoft("y = " + attributes + "(q, , , b)", {all, bias})[0].tensor, expected);
  const at::Tensor pair = at::stack({heads(k), heads(v)}, 3);
  expect_close(run_microsoft("y = " + attributes + "(q, p, , b)", {q, pair, bias})[0].tensor, expected);
  EXPECT_THROW(run_microsoft("y = " + attributes + "(q, p)", {q, all}), Error);
  EXPECT_THROW(run_microsoft("y = " + attributes + "(q, k, v, b)", {q, k, v, bias.narrow(0, 0, 20)}), Error);
}

// A sample that is one token shorter attends as if it were alone.
TEST(ContribAttention, SamplesOfDifferentLengthsDoNotMeet) {
  const at::Tensor q = random({2, 1, 16}), k = random({2, 1, 8}), v = random({2, 1, 8}) * 0.5;
  const at::Tensor past = random({2, 2, 4, 4});
  const std::string text =
      "y, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2> (q, k, v, a, b, l, t)";
  const auto ints32 = [](std::vector<int64_t> values) { return ints(std::move(values)).to(at::kInt); };
  const auto both =
      run_microsoft(text, {q, k, v, past, past, ints32({4, 2}), at::scalar_tensor(5, at::kInt)});
  const auto alone = [&](int64_t i, int64_t length) {
    const at::Tensor kept = past.narrow(0, i, 1).narrow(2, 0, length);
    return run_microsoft(text, {q.narrow(0, i, 1), k.narrow(0, i, 1), v.narrow(0, i, 1), kept, kept,
                                ints32({length}), at::scalar_tensor(length + 1, at::kInt)});
  };
  expect_close(both[0].tensor.narrow(0, 0, 1), alone(0, 4)[0].tensor);
  expect_close(both[0].tensor.narrow(0, 1, 1), alone(1, 2)[0].tensor);
  expect_close(both[1].tensor.narrow(0, 1, 1).narrow(2, 0, 3), alone(1, 2)[1].tensor);
  EXPECT_THROW(run_microsoft(text, {q, k, v, past, past, ints32({9, 2}), at::scalar_tensor(5, at::kInt)}),
               Error);
}

TEST(ContribNorm, GroupNormHasChannelsLast) {
  const at::Tensor x = random({2, 3, 5, 4}), gamma = random({4}), beta = random({4}) * 0.5;
  const at::Tensor expected =
      at::group_norm(x.permute({0, 3, 1, 2}).contiguous(), 2, gamma, beta, 1e-5).permute({0, 2, 3, 1});
  const std::string name = "com.microsoft.GroupNorm ";
  expect_close(
      run_microsoft("y = " + name + "<groups = 2, activation = 0> (x, g, b)", {x, gamma, beta})[0].tensor,
      expected, 1e-4, 1e-5);
  expect_close(
      run_microsoft("y = " + name + "<groups = 2, activation = 1> (x, g, b)", {x, gamma, beta})[0].tensor,
      at::silu(expected), 1e-4, 1e-5);
  const at::Tensor skip = random({2, 4}), bias = random({4});
  const auto sums =
      run_microsoft("y, s = com.microsoft.SkipGroupNorm <groups = 2, activation = 0> (x, g, b, k, c)",
                    {x, gamma, beta, skip, bias});
  expect_close(sums[1].tensor, x + skip.view({2, 1, 1, 4}) + bias);
  EXPECT_THROW(run_microsoft("y = " + name + "<groups = 3, activation = 0> (x, g, b)", {x, gamma, beta}),
               Error);
  EXPECT_THROW(run_microsoft("y = " + name + "<groups = 2, activation = 7> (x, g, b)", {x, gamma, beta}),
               Error);
}

TEST(ContribActivation, GatesOneHalfByTheOther) {
  const at::Tensor x = random({2, 3, 6}), bias = random({6});
  const at::Tensor sum = x + bias;
  expect_close(run_microsoft("y = com.microsoft.BiasSplitGelu (x, b)", {x, bias})[0].tensor,
               sum.narrow(2, 0, 3) * at::gelu(sum.narrow(2, 3, 3)));
  EXPECT_THROW(run_microsoft("y = com.microsoft.BiasGelu (x, b)", {x, random({5})}), Error);
}

TEST(Contrib, RefusesWhatDoesNotFit) {
  const at::Tensor a = random({2, 20}), bytes = at::zeros({2, 2, 8}, at::kByte), scales = random({2, 2});
  const std::string n_bits = "y = com.microsoft.MatMulNBits <K = 20, N = 2, bits = 4, block_size = ";
  EXPECT_NO_THROW(run_microsoft(n_bits + "16> (a, b, s)", {a, bytes, scales}));
  EXPECT_THROW(run_microsoft(n_bits + "17> (a, b, s)", {a, bytes, scales}), Error);
  EXPECT_THROW(run_microsoft(n_bits + "16> (a, b, s)", {a, bytes.narrow(0, 0, 1), scales}), Error);
  EXPECT_THROW(run_microsoft(n_bits + "16> (a, b, s)", {a, bytes, scales.narrow(0, 0, 1)}), Error);
  EXPECT_THROW(run_microsoft(n_bits + "16> (a, b, s)", {random({2, 21}), bytes, scales}), Error);
  EXPECT_THROW(
      run_microsoft("y = com.microsoft.FusedGemm <activation = \"Sinus\"> (a, b)", {a, random({20, 3})}),
      Error);
  EXPECT_THROW(run_microsoft("y = com.microsoft.Inverse (x)", {random({2, 3})}), Error);
  EXPECT_THROW(run_microsoft("y = com.microsoft.CDist <metric = \"cosine\"> (a, b)", {a, a}), Error);
  EXPECT_THROW(run_microsoft("y = com.microsoft.Attention <num_heads = 2> (x, w)",
                             {random({1, 2, 3}), random({4, 12})}),
               Error);
}

TEST(Contrib, WeightsTrain) {
  const auto role = [](const char* name, size_t input) {
    const Op* op = find_op("com.microsoft", name, 1);
    return op ? op->role(input) : Role::kMask;
  };
  EXPECT_EQ(role("FusedMatMul", 1), Role::kWeight);
  EXPECT_EQ(role("FusedConv", 1), Role::kWeight);
  EXPECT_EQ(role("FusedConv", 3), Role::kConstant);
  EXPECT_EQ(role("Attention", 1), Role::kWeight);
  EXPECT_EQ(role("Attention", 4), Role::kConstant);
  EXPECT_EQ(role("MultiHeadAttention", 3), Role::kWeight);
  EXPECT_EQ(role("SkipLayerNormalization", 1), Role::kConstant);
  EXPECT_EQ(role("SkipLayerNormalization", 2), Role::kWeight);
  EXPECT_EQ(role("EmbedLayerNormalization", 2), Role::kWeight);
  EXPECT_EQ(role("MatMulNBits", 1), Role::kConstant);
  EXPECT_EQ(role("MatMulNBits", 2), Role::kState);
  EXPECT_EQ(role("BiasGelu", 1), Role::kWeight);
}

}  // namespace
}  // namespace mc::testing
