#include "mc/quantize/equalize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/quantize/calibrate.h"
#include "tests/quantize/ptq_testing.h"

namespace mc {
namespace {

using Weights = std::vector<std::pair<std::string, at::Tensor>>;

// Random weights whose channels along the axis differ by orders of magnitude.
at::Tensor uneven(at::IntArrayRef dims, int64_t axis) {
  std::vector<int64_t> shape(dims.size(), 1);
  shape[axis] = dims[axis];
  return at::randn(dims) * (at::randn(shape) * 2).exp();
}

struct PairCase {
  std::string name;
  std::string input_dims;
  std::string nodes;
  Weights weights;
  int64_t pairs;
};

std::ostream& operator<<(std::ostream& out, const PairCase& test) {
  return out << test.name;
}

std::vector<PairCase> pair_cases() {
  at::manual_seed(1);
  const auto w = [](at::IntArrayRef dims, int64_t axis = 0) { return uneven(dims, axis); };
  const std::string conv3 = "Conv <pads = [1,1,1,1]> ";
  return {
      {"relu",
       "N,3,8,8",
       "a = " + conv3 + "(x, w1, b1) r = Relu(a) y = " + conv3 + "(r, w2)",
       {{"w1", w({6, 3, 3, 3})}, {"b1", at::randn({6})}, {"w2", w({4, 6, 3, 3}, 1)}},
       1},
      {"nothing",
       "N,3,8,8",
       "a = Conv(x, w1) y = Conv(a, w2)",
       {{"w1", w({6, 3, 3, 3})}, {"w2", w({4, 6, 3, 3}, 1)}},
       1},
      {"leaky",
       "N,3,8,8",
       "a = Conv(x, w1, b1) r = LeakyRelu <alpha = 0.1> (a) y = Conv(r, w2)",
       {{"w1", w({6, 3, 3, 3})}, {"b1", at::randn({6})}, {"w2", w({4, 6, 3, 3}, 1)}},
       1},
      {"prelu",
       "N,3,8,8",
       "a = Conv(x, w1, b1) r = PRelu (a, slope) y = Conv(r, w2)",
       {{"w1", w({6, 3, 3, 3})},
        {"b1", at::randn({6})},
        {"slope", at::rand({6, 1, 1})},
        {"w2", w({4, 6, 3, 3}, 1)}},
       1},
      {"clip_without_end",
       "N,3,8,8",
       "a = Conv(x, w1, b1) r = Clip (a, zero) y = Conv(r, w2)",
       {{"w1", w({6, 3, 3, 3})}, {"b1", at::randn({6})}, {"zero", at::zeros({})}, {"w2", w({4, 6, 3, 3}, 1)}},
       1},
      {"depthwise_chain",
       "N,3,8,8",
       "a = Conv(x, w1, b1) r = Relu(a) d = Conv <group = 6, pads = [1,1,1,1]> (r, w2, b2) s = Relu(d) "
       "y = Conv(s, w3, b3)",
       {{"w1", w({6, 3, 1, 1})},
        {"b1", at::randn({6})},
        {"w2", w({6, 1, 3, 3})},
        {"b2", at::randn({6})},
        {"w3", w({5, 6, 1, 1}, 1)},
        {"b3", at::randn({5})}},
       2},
      {"groups",
       "N,3,8,8",
       "a = Conv(x, w1) r = Relu(a) y = Conv <group = 2> (r, w2)",
       {{"w1", w({6, 3, 3, 3})}, {"w2", w({4, 3, 3, 3}, 1)}},
       1},
      {"transposed",
       "N,3,8,8",
       "a = ConvTranspose(x, w1, b1) r = Relu(a) s = ConvTranspose <group = 2> (r, w2, b2) y = Conv(s, w3)",
       {{"w1", w({3, 6, 3, 3}, 1)},
        {"b1", at::randn({6})},
        {"w2", w({6, 4, 3, 3})},
        {"b2", at::randn({8})},
        {"w3", w({2, 8, 1, 1}, 1)}},
       2},
      {"pooled",
       "N,3,9,9",
       "a = Conv(x, w1) r = Relu(a) p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r) "
       "q = AveragePool <kernel_shape = [2,2]> (p) y = Conv(q, w2)",
       {{"w1", w({6, 3, 3, 3})}, {"w2", w({4, 6, 2, 2}, 1)}},
       1},
      {"flattened",
       "N,3,6,6",
       "a = Conv(x, w1, b1) r = Relu(a) f = Flatten(r) y = Gemm <transB = 1> (f, w2, b2)",
       {{"w1", w({5, 3, 3, 3})}, {"b1", at::randn({5})}, {"w2", w({4, 80}, 1)}, {"b2", at::randn({4})}},
       1},
      {"reshaped",
       "2,3,6,6",
       "a = Conv(x, w1) r = Relu(a) f = Reshape(r, to) y = MatMul(f, w2)",
       {{"w1", w({5, 3, 3, 3})}, {"to", at::tensor({2, 80}, at::kLong)}, {"w2", w({80, 4})}},
       1},
      {"global_pool",
       "N,3,6,6",
       "a = Conv(x, w1) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w2)",
       {{"w1", w({5, 3, 3, 3})}, {"w2", w({5, 4})}},
       1},
      {"mean",
       "N,3,6,6",
       "a = Conv(x, w1) p = ReduceMean <axes = [2,-1], keepdims = 0> (a) y = Gemm(p, w2)",
       {{"w1", w({5, 3, 3, 3})}, {"w2", w({5, 4})}},
       1},
      {"perceptron",
       "N,7",
       "a = Gemm(x, w1, b1) r = Relu(a) b = Gemm <transB = 1> (r, w2, b2) s = Relu(b) y = MatMul(s, w3)",
       {{"w1", w({7, 6}, 1)},
        {"b1", at::randn({1, 6})},
        {"w2", w({5, 6}, 1)},
        {"b2", at::randn({5})},
        {"w3", w({5, 3})}},
       2},
      {"tokens",
       "N,4,7",
       "a = MatMul(x, w1) b = Add(b1, a) r = Relu(b) y = MatMul(r, w2)",
       {{"w1", w({7, 6}, 1)}, {"b1", at::randn({6})}, {"w2", w({6, 3})}},
       1},
      {"gated",
       "N,4,7",
       "g = MatMul(x, w1) s = Sigmoid(g) u = MatMul(x, w2) m = Mul(s, u) y = MatMul(m, w3)",
       {{"w1", w({7, 6}, 1)}, {"w2", w({7, 6}, 1)}, {"w3", w({6, 3})}},
       1},
  };
}

class EqualizePair : public testing::TestWithParam<PairCase> {};

TEST_P(EqualizePair, KeepsTheFunctionAndEvensTheRanges) {
  const PairCase& test = GetParam();
  Model model = ptq_model(test.input_dims, test.nodes, test.weights);
  at::manual_seed(2);
  std::vector<int64_t> dims;
  for (const Dim& dim : *model.graph.inputs[0].type.shape) dims.push_back(dim.known() ? dim.value : 3);
  const at::Tensor x = at::randn(dims);
  const at::Tensor expected = infer(model, x);
  const at::Tensor before = constant_of(model, "w1");
  EXPECT_EQ(equalize(model), test.pairs);
  verify(model);
  EXPECT_LT(relative_error(expected, infer(model, x)), 1e-5);
  EXPECT_FALSE(constant_of(model, test.name == "gated" ? "w2" : "w1").equal(before));
}

INSTANTIATE_TEST_SUITE_P(All, EqualizePair, testing::ValuesIn(pair_cases()),
                         [](const auto& test) { return test.param.name; });

TEST(Equalize, GivesBothSidesOneRangeInEveryChannel) {
  at::manual_seed(3);
  Model model = ptq_model(
      "N,3,8,8",
      "a = Conv(x, w1, b1) r = Relu(a) d = Conv <group = 6> (r, w2, b2) s = Relu(d) y = Conv(s, w3)",
      {{"w1", uneven({6, 3, 1, 1}, 0)},
       {"b1", at::randn({6})},
       {"w2", uneven({6, 1, 3, 3}, 0)},
       {"b2", at::randn({6})},
       {"w3", uneven({5, 6, 1, 1}, 1)}});
  // In a chain of three, all ranges become the cubic root of their product (appendix A of the paper).
  const auto ranges = [&] {
    return at::stack({constant_of(model, "w1").abs().amax({1, 2, 3}),
                      constant_of(model, "w2").abs().amax({1, 2, 3}),
                      constant_of(model, "w3").abs().amax({0, 2, 3})});
  };
  const at::Tensor expected = ranges().prod(0).pow(1.0 / 3).expand({3, 6});
  equalize(model);
  EXPECT_TRUE(ranges().allclose(expected, 1e-3, 0)) << ranges() << expected;
}

TEST(Equalize, LeavesAloneWhatItMayNotTouch) {
  at::manual_seed(4);
  const Weights weights = {{"w1", uneven({6, 3, 1, 1}, 0)}, {"w2", uneven({6, 6, 1, 1}, 1)}};
  const auto untouched = [](Model model) {
    const Model before = model;
    EXPECT_EQ(equalize(model), 0);
    return model == before;
  };
  EXPECT_TRUE(untouched(ptq_model("N,3,8,8", "a = Conv(x, w1) r = Sigmoid(a) y = Conv(r, w2)", weights)));
  EXPECT_TRUE(
      untouched(ptq_model("N,3,8,8", "a = Conv(x, w1) r = Relu(a) b = Conv(r, w2) y = Add(b, r)", weights)));
  Model output = ptq_model("N,3,8,8", "a = Conv(x, w1) r = Relu(a) y = Conv(r, w2)", weights);
  output.graph.outputs.push_back(output.graph.outputs[0]);
  output.graph.outputs.back().name = "a";
  EXPECT_TRUE(untouched(output));
  // A weight that two layers read, a bound that clips, an offset that is no constant a channel.
  EXPECT_TRUE(untouched(ptq_model("N,6,8,8", "a = Conv(x, w2) y = Conv(a, w2)", {weights[1]})));
  EXPECT_TRUE(
      untouched(ptq_model("N,3,8,8", "a = Conv(x, w1) r = Clip(a, zero, six) y = Conv(r, w2)",
                          {weights[0], weights[1], {"zero", at::zeros({})}, {"six", at::full({}, 6)}})));
  EXPECT_TRUE(untouched(ptq_model("N,3,8,8", "a = Conv(x, w1) r = Add(a, c) y = Conv(r, w2)",
                                  {weights[0], weights[1], {"c", at::randn({8})}})));
  // A map's last axis is not its channels.
  EXPECT_TRUE(untouched(
      ptq_model("N,3,8,6", "a = Conv(x, w1) y = MatMul(a, m)", {weights[0], {"m", at::randn({6, 4})}})));
  EXPECT_TRUE(untouched(ptq_model("N,7", "a = Gemm <alpha = 2.0> (x, m) y = Gemm(a, n)",
                                  {{"m", at::randn({7, 6})}, {"n", at::randn({6, 2})}})));
}

TEST(Equalize, OpensAClipThatNoSampleReaches) {
  at::manual_seed(5);
  const at::Tensor x = at::rand({4, 3, 8, 8});
  const Weights weights = {
      {"w1", uneven({6, 3, 1, 1}, 0)}, {"w2", at::randn({4, 6, 1, 1})}, {"zero", at::zeros({})}};
  const auto clipped = [&](double bound) {
    Weights all = weights;
    all.emplace_back("bound", at::full({}, bound));
    return ptq_model("N,3,8,8", "a = Conv(x, w1) r = Clip(a, zero, bound) y = Conv(r, w2)", all);
  };
  const double largest = infer(ptq_model("N,3,8,8", "y = Conv(x, w1)", {weights[0]}), x).max().item<double>();
  Model open = clipped(largest * 1.01), closed = clipped(largest * 0.99);
  const at::Tensor expected = infer(open, x);
  EXPECT_EQ(equalize(open, samples_of({x.slice(0, 0, 3), x.slice(0, 3)})), 1);
  EXPECT_EQ(node_of(open, "r").op_type, "Relu");
  verify(open);
  EXPECT_LT(relative_error(expected, infer(open, x)), 1e-5);
  const Model before = closed;
  EXPECT_EQ(equalize(closed, samples_of({x})), 0);
  EXPECT_TRUE(closed == before);
}

TEST(Equalize, LetsNoChannelGrowBeyondTheLargest) {
  at::manual_seed(6);
  // Channel 0 is dead but for its bias, as channels of networks trained with weight decay are.
  at::Tensor w1 = at::randn({6, 3, 1, 1});
  w1[0] *= 1e-15;
  Model model = ptq_model("N,3,8,8", "a = Conv(x, w1, b1) r = Relu(a) y = Conv(r, w2)",
                          {{"w1", w1}, {"b1", at::full({6}, 0.5)}, {"w2", at::randn({4, 6, 1, 1})}});
  const at::Tensor x = at::randn({4, 3, 8, 8});
  const at::Tensor expected = infer(model, x);
  const auto largest = [&] {
    return infer(ptq_model("N,3,8,8", "a = Conv(x, w1, b1) y = Relu(a)",
                           {{"w1", constant_of(model, "w1")}, {"b1", constant_of(model, "b1")}}),
                 x)
        .max()
        .item<double>();
  };
  const double before = largest();
  EXPECT_EQ(equalize(model, samples_of({x})), 1);
  EXPECT_LE(largest(), before * 1.0001);
  EXPECT_LT(relative_error(expected, infer(model, x)), 1e-5);
}

TEST(Equalize, CopesWithChannelsWithoutWeights) {
  at::manual_seed(7);
  at::Tensor w1 = at::randn({6, 3, 1, 1}), w2 = at::randn({4, 6, 1, 1});
  w1[2].zero_();
  w2.select(1, 3).zero_();
  Model model = ptq_model("N,3,8,8", "a = Conv(x, w1, b1) r = Relu(a) y = Conv(r, w2)",
                          {{"w1", w1}, {"b1", at::randn({6})}, {"w2", w2}});
  const at::Tensor x = at::randn({2, 3, 8, 8});
  const at::Tensor expected = infer(model, x);
  EXPECT_EQ(equalize(model, samples_of({x})), 1);
  EXPECT_LT(relative_error(expected, infer(model, x)), 1e-5);
  EXPECT_TRUE(constant_of(model, "w1")[2].eq(0).all().item<bool>());
}

TEST(Equalize, GainsWhereChannelsDiffer) {
  at::manual_seed(8);
  // The first layer's channels differ a thousandfold and the second layer makes that good.
  const at::Tensor spread = at::logspace(-1.5, 1.5, 16);
  const Model model = ptq_model("N,3,8,8",
                                "a = Conv <pads = [1,1,1,1]> (x, w1, b1) r = Relu(a) d = Conv <group = 16> "
                                "(r, w2) s = Relu(d) y = Conv(s, w3)",
                                {{"w1", at::randn({16, 3, 3, 3}) * spread.view({16, 1, 1, 1})},
                                 {"b1", at::randn({16}) * spread},
                                 {"w2", at::randn({16, 1, 3, 3})},
                                 {"w3", at::randn({8, 16, 1, 1}) / spread.view({1, 16, 1, 1})}});
  const auto data = random_dataset(64, {{"x", at::kFloat, {3, 8, 8}}}, 9);
  const at::Tensor x = all(*data).inputs[0];
  const at::Tensor expected = infer(model, x);
  QuantizeOptions options;
  const double plain = snr_of(expected, infer(quantize_ptq(model, data, {}, options).model, x));
  options.equalize = true;
  const QuantizedModel equalized = quantize_ptq(model, data, {}, options);
  EXPECT_GT(snr_of(expected, infer(equalized.model, x)), plain + 10);
  ASSERT_EQ(equalized.steps.size(), 1U);
  EXPECT_EQ(equalized.steps[0].name, "equalize");
  EXPECT_EQ(equalized.steps[0].places, 2);
}

}  // namespace
}  // namespace mc
