#include <cmath>
#include <limits>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias,
                  double scale) {
  at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) * scale;
  if (bias.defined()) scores = scores + bias;
  return at::matmul(at::softmax(scores, -1), v);
}

// 0 where key <= query + offset, else -inf.
at::Tensor causal(int64_t queries, int64_t keys, int64_t offset) {
  const at::Tensor hidden = at::full({queries, keys}, -std::numeric_limits<float>::infinity());
  return at::triu(hidden, offset + 1);
}

TEST(Attention, WeighsValues) {
  const at::Tensor q = random({2, 3, 4, 8}), k = random({2, 3, 5, 8}), v = random({2, 3, 5, 6});
  expect_close(run_op1("y = Attention (q, k, v)", {q, k, v}, 23), attend(q, k, v, {}, 1 / std::sqrt(8.0)),
               1e-4, 1e-5);
  const at::Tensor mask = random({4, 5});
  expect_close(run_op1("y = Attention <scale = 0.5> (q, k, v, m)", {q, k, v, mask}, 23),
               attend(q, k, v, mask, .5), 1e-4, 1e-5);
  expect_close(run_op1("y = Attention <is_causal = 1> (q, k, v)", {q, k, v}, 23),
               attend(q, k, v, causal(4, 5, 0), 1 / std::sqrt(8.0)), 1e-4, 1e-5);
}

TEST(Attention, SplitsHeadsAndSharesKeys) {
  const at::Tensor q = random({2, 3, 16}), k = random({2, 5, 8}), v = random({2, 5, 8});
  const auto heads = [](const at::Tensor& x, int64_t count) {
    return x.view({x.size(0), x.size(1), count, -1}).transpose(1, 2);
  };
  const at::Tensor expected =
      attend(heads(q, 4), heads(k, 2).repeat_interleave(2, 1), heads(v, 2).repeat_interleave(2, 1), {}, 0.5);
  expect_close(run_op1("y = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v)", {q, k, v}, 23),
               expected.transpose(1, 2).reshape({2, 3, 16}), 1e-4, 1e-5);
  EXPECT_THROW(run_op1("y = Attention <q_num_heads = 3, kv_num_heads = 2> (q, k, v)", {q, k, v}, 23), Error);
}

TEST(Attention, ContinuesFromThePast) {
  const at::Tensor q = random({1, 2, 2, 4}), k = random({1, 2, 2, 4}), v = random({1, 2, 2, 4});
  const at::Tensor past = random({1, 2, 3, 4}) * 0.5;
  const auto outputs =
      run_op("y, pk, pv = Attention <is_causal = 1> (q, k, v, , a, b)", {q, k, v, past, past}, 23);
  const at::Tensor keys = at::cat({past, k}, 2), values = at::cat({past, v}, 2);
  expect_close(outputs[1].tensor, keys);
  expect_close(outputs[0].tensor, attend(q, keys, values, causal(2, 5, 3), .5), 1e-4, 1e-5);
}

TEST(Attention, CapsScoresAndShowsThem) {
  const at::Tensor q = random({1, 1, 2, 4}), k = random({1, 1, 3, 4}), v = random({1, 1, 3, 4});
  const auto outputs = run_op("y, pk, pv, s = Attention <softcap = 2.0> (q, k, v)", {q, k, v}, 23);
  const at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) / 2;
  expect_close(outputs[3].tensor, scores, 1e-4, 1e-5);
  expect_close(outputs[0].tensor, at::matmul(at::softmax(at::tanh(scores / 2) * 2, -1), v), 1e-4, 1e-5);
  expect_gradient("y = Attention <softcap = 2.0> (q, k, v)", {q, k, v}, 23);
}

TEST(Attention, GivesZerosToQueriesThatSeeNothing) {
  const at::Tensor q = random({1, 1, 2, 4}), k = random({1, 1, 3, 4}), v = random({1, 1, 3, 4});
  const at::Tensor mask = at::tensor({0, 0, 0, 1, 1, 0}).view({2, 3}).to(at::kBool);
  for (const char* text : {"y = Attention (q, k, v, m)", "y = Attention <softcap = 100.0> (q, k, v, m)"}) {
    const at::Tensor y = run_op1(text, {q, k, v, mask}, 23);
    EXPECT_EQ(y.select(2, 0).abs().sum().item<float>(), 0) << text;
  }
}

TEST(Attention, InfersShapesAndCost) {
  const std::string text = R"(<ir_version: 10, opset_import: ["" : 23]>
    g (float[N, 7, 32] q, float[N, 9, 16] k, float[N, 9, 16] v) => (float y) {
      y = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v)
    })";
  EXPECT_EQ(to_string(inferred(text, "y")), "float[N,7,32]");
  const std::vector<Shape> in = {{1, 2, 3, 4}, {1, 2, 5, 4}, {1, 2, 5, 6}}, out = {{1, 2, 3, 6}};
  EXPECT_EQ(find_op("", "Attention", 23)->macs(Node(), in, out), 2 * 3 * 5 * (4 + 6));
}

// A rotation by an angle of zero changes nothing; by a right angle it swaps the halves with a sign.
TEST(RotaryEmbedding, TurnsPairs) {
  const at::Tensor x = at::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f}).view({1, 1, 2, 4});
  const at::Tensor cosine = at::tensor({1.f, 1.f, 0.f, 0.f}).view({1, 2, 2}), sine = 1 - cosine;
  expect_close(run_op1("y = RotaryEmbedding (x, c, s)", {x, cosine, sine}, 23),
               at::tensor({1.f, 2.f, 3.f, 4.f, -7.f, -8.f, 5.f, 6.f}).view({1, 1, 2, 4}));
  expect_close(run_op1("y = RotaryEmbedding <interleaved = 1> (x, c, s)", {x, cosine, sine}, 23),
               at::tensor({1.f, 2.f, 3.f, 4.f, -6.f, 5.f, -8.f, 7.f}).view({1, 1, 2, 4}));
  const at::Tensor ids = at::tensor({1, 0}, at::kLong).view({1, 2});
  expect_close(run_op1("y = RotaryEmbedding (x, c, s, p)", {x, cosine[0], sine[0], ids}, 23),
               at::tensor({-3.f, -4.f, 1.f, 2.f, 5.f, 6.f, 7.f, 8.f}).view({1, 1, 2, 4}));
  EXPECT_THROW(run_op1("y = RotaryEmbedding <rotary_embedding_dim = 2> (x, c, s)", {x, cosine, sine}, 23),
               Error);
}

}  // namespace
}  // namespace mc::testing
