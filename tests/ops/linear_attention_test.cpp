#include <cmath>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

struct Memory {
  int64_t batch = 2, steps = 4, queries = 4, heads = 2, key = 3, value = 2;
  at::Tensor q = random({batch, steps, queries * key}), k = random({batch, steps, heads * key}).flip(1) * 0.5,
             v = random({batch, steps, heads * value}).flip(2),
             past = random({batch, heads, key, value}).flip(3) * 0.3;

  std::string node(const std::string& rule, const std::string& inputs, const std::string& more = "") const {
    return fmt::format(
        "y, s = LinearAttention <q_num_heads = {}, kv_num_heads = {}, update_rule = \"{}\"{}> (q, k, v{})",
        queries, heads, rule, more, inputs);
  }
  // One head of one sample as a [steps, size] matrix.
  at::Tensor head(const at::Tensor& x, int64_t sample, int64_t i, int64_t size) const {
    return x[sample].narrow(1, i * size, size);
  }
};

// Without gates and corrections a query sums over all keys so far: a masked product, and no recurrence.
TEST(LinearAttention, LinearRuleIsAMaskedProduct) {
  const Memory m;
  const std::vector<Slot> got = run_op(m.node("linear", ", p"), {m.q, m.k, m.v, m.past}, 27);
  for (int64_t b = 0; b < m.batch; ++b) {
    for (int64_t h = 0; h < m.queries; ++h) {
      const int64_t shared = h / (m.queries / m.heads);
      const at::Tensor q = m.head(m.q, b, h, m.key) / std::sqrt(3.0), k = m.head(m.k, b, shared, m.key);
      const at::Tensor v = m.head(m.v, b, shared, m.value);
      const at::Tensor expected =
          at::matmul(at::matmul(q, k.t()).tril(), v) + at::matmul(q, m.past[b][shared]);
      expect_close(m.head(got[0].tensor, b, h, m.value), expected, 1e-4, 1e-5);
      expect_close(got[1].tensor[b][shared], m.past[b][shared] + at::matmul(k.t(), v), 1e-4, 1e-5);
    }
  }
}

// A gate that is the same at every step discounts keys by how far back they lie.
TEST(LinearAttention, GateFadesWhatLiesBack) {
  const Memory m;
  const double gate = -0.7;
  const at::Tensor decay = at::full({m.batch, m.steps, m.heads}, gate);
  const at::Tensor y = run_op1(m.node("gated", ", , d", ", scale = 2.0"), {m.q, m.k, m.v, decay}, 27);
  const at::Tensor step = at::arange(m.steps, at::kFloat);
  const at::Tensor discount = ((step.unsqueeze(1) - step) * gate).exp().tril();
  const at::Tensor q = m.head(m.q, 1, 3, m.key) * 2, k = m.head(m.k, 1, 1, m.key);
  expect_close(m.head(y, 1, 3, m.value),
               at::matmul(at::matmul(q, k.t()) * discount, m.head(m.v, 1, 1, m.value)), 1e-4, 1e-5);
  // One gate for each row of the memory, all alike, is one gate a head.
  const at::Tensor rows = at::full({m.batch, m.steps, m.heads * m.key}, gate);
  expect_close(run_op1(m.node("gated", ", , d", ", scale = 2.0"), {m.q, m.k, m.v, rows}, 27), y);
}

// With unit keys and rate 1 the delta rule overwrites: a key that comes again gives its last value.
TEST(LinearAttention, DeltaRuleOverwrites) {
  const at::Tensor e0 = at::tensor({1.f, 0.f}), e1 = at::tensor({0.f, 1.f});
  const at::Tensor k = at::stack({e0, e1, e0}).unsqueeze(0), v = counting({1, 3, 2});
  const at::Tensor q = at::ones({1, 3, 2});
  const std::string head =
      "y, s = LinearAttention <q_num_heads = 1, kv_num_heads = 1, scale = 1.0, update_rule = ";
  const at::Tensor one = at::ones({1, 3, 1});
  const std::vector<Slot> got = run_op(head + "\"delta\"> (q, k, v, , , b)", {q, k, v, one}, 27);
  expect_close(got[1].tensor[0][0], at::stack({v[0][2], v[0][1]}));
  expect_close(got[0].tensor[0], at::stack({v[0][0], v[0][0] + v[0][1], v[0][2] + v[0][1]}));
  // A gate of zero in log space changes nothing.
  expect_close(run_op1(head + "\"gated_delta\"> (q, k, v, , d, b)", {q, k, v, at::zeros({1, 3, 1}), one}, 27),
               got[0].tensor);
}

// A step alone is the recurrence itself; chunks of steps must come to the same.
TEST(LinearAttention, StepByStepIsAllAtOnce) {
  const Memory m{2, 7};
  const at::Tensor rate = random({2, 7, 1}).sigmoid();
  for (const int64_t gates : {m.heads, m.heads * m.key}) {
    at::Tensor decay = -random({2, 7, gates}).abs();
    decay[0][2][1] = -INFINITY;  // forgets all
    for (const std::string more : {", chunk_size = 3", ", chunk_size = 64"}) {
      const std::string node = m.node("gated_delta", ", p, d, b", more);
      const std::vector<Slot> all = run_op(node, {m.q, m.k, m.v, m.past, decay, rate}, 27);
      at::Tensor state = m.past;
      std::vector<at::Tensor> outputs;
      for (int64_t t = 0; t < m.steps; ++t) {
        const auto at_step = [t](const at::Tensor& x) { return x.narrow(1, t, 1); };
        const std::vector<Slot> one = run_op(
            node, {at_step(m.q), at_step(m.k), at_step(m.v), state, at_step(decay), at_step(rate)}, 27);
        outputs.push_back(one[0].tensor);
        state = one[1].tensor;
      }
      expect_close(at::cat(outputs, 1), all[0].tensor, 1e-4, 1e-5);
      expect_close(state, all[1].tensor, 1e-4, 1e-5);
    }
  }
}

TEST(LinearAttention, TrainsEveryInput) {
  const Memory m;
  const at::Tensor rate = random({m.batch, m.steps, m.heads}).sigmoid();
  for (const int64_t gates : {m.heads, m.heads * m.key}) {
    expect_gradient(m.node("gated_delta", ", p, d, b", ", chunk_size = 3"),
                    {m.q, m.k, m.v, m.past, -random({m.batch, m.steps, gates}).abs(), rate}, 27);
  }
}

TEST(LinearAttention, RefusesBadInput) {
  const Memory m;
  EXPECT_THROW(run_op1(m.node("gated", ""), {m.q, m.k, m.v}, 27), Error);
  EXPECT_THROW(run_op1(m.node("linear", ", , d"), {m.q, m.k, m.v, m.k}, 27), Error);
  EXPECT_THROW(run_op1(m.node("fast", ""), {m.q, m.k, m.v}, 27), Error);
  EXPECT_THROW(run_op1(m.node("linear", ""), {m.q, m.k.narrow(1, 0, 2), m.v}, 27), Error);
  EXPECT_THROW(run_op1(m.node("linear", ""), {m.q, m.q, m.v}, 27), Error);
  EXPECT_THROW(run_op1(m.node("linear", ", p"), {m.q, m.k, m.v, m.past[0]}, 27), Error);
  EXPECT_THROW(run_op1("y, s = LinearAttention <q_num_heads = 3, kv_num_heads = 2, update_rule = \"linear\"> "
                       "(q, k, v)",
                       {m.q, m.k, m.v}, 27),
               Error);
  EXPECT_EQ(run_op1(m.node("linear", ""), {m.q.narrow(1, 0, 0), m.k.narrow(1, 0, 0), m.v.narrow(1, 0, 0)}, 27)
                .sizes(),
            (std::vector<int64_t>{2, 0, 8}));
}

TEST(CausalConvWithState, IsAPaddedDepthwiseConvolution) {
  const at::Tensor x = random({2, 3, 6}), w = random({3, 1, 4}), b = random({3}),
                   past = random({2, 3, 3}) * 2;
  const at::Tensor seen = at::cat({past, x}, 2);
  at::Tensor expected = b.reshape({1, 3, 1}).expand({2, 3, 6});
  for (int64_t tap = 0; tap < 4; ++tap) expected = expected + seen.narrow(2, tap, 6) * w.select(2, tap);
  const std::vector<Slot> got = run_op("y, s = CausalConvWithState (x, w, b, p)", {x, w, b, past}, 27);
  expect_close(got[0].tensor, expected);
  expect_close(got[1].tensor, x.narrow(2, 3, 3));
  expect_close(
      run_op1("y, s = CausalConvWithState <activation = \"silu\"> (x, w, b, p)", {x, w, b, past}, 27),
      expected * expected.sigmoid());
  const std::vector<Slot> brief = run_op("y, s = CausalConvWithState (x, w)", {x.narrow(2, 0, 1), w}, 27);
  expect_close(brief[1].tensor, at::constant_pad_nd(x.narrow(2, 0, 1), {2, 0}));
  expect_gradient("y, s = CausalConvWithState <activation = \"swish\"> (x, w, b, p)", {x, w, b, past}, 27);
}

TEST(CausalConvWithState, RefusesBadInput) {
  const at::Tensor x = random({2, 3, 6}), w = random({3, 1, 4});
  EXPECT_THROW(run_op1("y, s = CausalConvWithState (x, w)", {x[0], w}, 27), Error);
  EXPECT_THROW(run_op1("y, s = CausalConvWithState (x, w)", {x, random({2, 1, 4})}, 27), Error);
  EXPECT_THROW(run_op1("y, s = CausalConvWithState (x, w, b)", {x, w, random({2})}, 27), Error);
  EXPECT_THROW(run_op1("y, s = CausalConvWithState (x, w, , p)", {x, w, random({2, 3, 4})}, 27), Error);
  EXPECT_THROW(run_op1("y, s = CausalConvWithState <activation = \"relu\"> (x, w)", {x, w}, 27), Error);
}

TEST(TensorScatter, WritesEachSampleAtItsPlace) {
  const at::Tensor past = counting({2, 3, 5, 2}), update = -counting({2, 3, 2, 2}) - 1;
  at::Tensor expected = past.clone();
  expected[0].narrow(1, 3, 2).copy_(update[0]);
  expected[1].narrow(1, 1, 2).copy_(update[1]);
  expect_close(run_op1("y = TensorScatter (p, u, w)", {past, update, ints({3, 1})}, 24), expected);
  expect_close(past, counting({2, 3, 5, 2}));
  expected = past.clone();
  for (int64_t b = 0; b < 2; ++b) {
    expected[b].select(1, 4).copy_(update[b].select(1, 0));
    expected[b].select(1, 0).copy_(update[b].select(1, 1));
  }
  expect_close(run_op1("y = TensorScatter <mode = \"circular\"> (p, u, w)", {past, update, ints({4, 9})}, 24),
               expected);
  expect_close(
      run_op1("y = TensorScatter <axis = 1> (p, u)", {past, update.narrow(2, 0, 1).expand({2, 3, 5, 2})}, 24),
      update.narrow(2, 0, 1).expand({2, 3, 5, 2}));
  expect_gradient("y = TensorScatter (p, u, w)", {past, update, ints({3, 1})}, 24);
  for (const at::ScalarType type : {at::kUInt16, at::kFloat8_e4m3fn}) {
    EXPECT_TRUE(at::equal(
        run_op1("y = TensorScatter (p, u)", {past.abs().to(type), update.abs().to(type)}, 24).to(at::kFloat),
        at::cat({update.abs(), past.narrow(2, 2, 3)}, 2).to(type).to(at::kFloat)));
  }
}

TEST(TensorScatter, RefusesBadInput) {
  const at::Tensor past = counting({2, 5, 2}), update = counting({2, 2, 2});
  EXPECT_THROW(run_op1("y = TensorScatter (p, u, w)", {past, update, ints({4, 0})}, 24), Error);
  EXPECT_THROW(run_op1("y = TensorScatter (p, u, w)", {past, update, ints({-1, 0})}, 24), Error);
  EXPECT_THROW(run_op1("y = TensorScatter (p, u, w)", {past, update, ints({0})}, 24), Error);
  EXPECT_THROW(run_op1("y = TensorScatter <axis = 0> (p, u)", {past, update}, 24), Error);
  EXPECT_THROW(run_op1("y = TensorScatter <mode = \"ring\"> (p, u)", {past, update}, 24), Error);
  EXPECT_THROW(run_op1("y = TensorScatter (p, u)", {past, counting({2, 6, 2})}, 24), Error);
}

TEST(SwiGlu, IsSwishTimesValue) {
  const at::Tensor a = random({2, 3}), b = random({2, 3}).flip(0);
  expect_close(run_op1("y = SwiGLU (a, b)", {a, b}, 28), a / (1 + (-a).exp()) * b);
  expect_close(run_op1("y = SwiGLU <alpha = 1.5> (a, b)", {a, b}, 28), a / (1 + (-1.5 * a).exp()) * b);
  expect_gradient("y = SwiGLU <alpha = 1.5> (a, b)", {a, b}, 28);
  EXPECT_THROW(run_op1("y = SwiGLU (a, b)", {a, b[0]}, 28), Error);
}

}  // namespace
}  // namespace mc::testing
