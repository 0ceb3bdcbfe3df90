#include <gmock/gmock.h>

#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::expect_close;
using testing::expect_gradient;
using testing::inferred;
using testing::ints;
using testing::random;
using testing::run_op;
using testing::run_op1;

constexpr int64_t kSteps = 4, kBatch = 3, kInput = 5, kHiddenSize = 6;

// Different values for every tensor of a case.
at::Tensor recurrent_values(at::IntArrayRef sizes, int64_t seed) {
  at::manual_seed(100 + seed);
  return at::randn(sizes, at::kDouble) * 0.7;
}

// A layer of PyTorch's: its weights by direction, and the same for ONNX, whose gates stand in another order
// (`order`: where ONNX's gates are among PyTorch's).
struct RecurrentLayer {
  std::vector<at::Tensor> parameters;
  at::Tensor w, r, b;

  RecurrentLayer(int64_t directions, std::vector<int64_t> order) {
    const auto gates = static_cast<int64_t>(order.size());
    std::vector<at::Tensor> ws, rs, bs;
    const auto reordered = [&](const at::Tensor& t) {
      std::vector<at::Tensor> chunks = t.chunk(gates), moved;
      for (const int64_t gate : order) moved.push_back(chunks[gate]);
      return at::cat(moved);
    };
    for (int64_t d = 0; d < directions; ++d) {
      const std::vector<at::Tensor> mine = {recurrent_values({gates * kHiddenSize, kInput}, 4 * d),
                                            recurrent_values({gates * kHiddenSize, kHiddenSize}, 4 * d + 1),
                                            recurrent_values({gates * kHiddenSize}, 4 * d + 2),
                                            recurrent_values({gates * kHiddenSize}, 4 * d + 3)};
      parameters.insert(parameters.end(), mine.begin(), mine.end());
      ws.push_back(reordered(mine[0]));
      rs.push_back(reordered(mine[1]));
      bs.push_back(at::cat({reordered(mine[2]), reordered(mine[3])}));
    }
    w = at::stack(ws);
    r = at::stack(rs);
    b = at::stack(bs);
  }
};

const std::vector<int64_t> kLstmOrder = {0, 3, 1, 2};  // i o f c of i f c o
const std::vector<int64_t> kGruOrder = {1, 0, 2};      // z r h of r z h

// [time, batch, directions * hidden] as ONNX has it.
at::Tensor by_direction(const at::Tensor& y, int64_t directions) {
  return y.reshape({y.size(0), y.size(1), directions, kHiddenSize}).transpose(1, 2);
}

const at::Tensor kSequence = recurrent_values({kSteps, kBatch, kInput}, 50);

TEST(Recurrent, LstmEqualsPyTorch) {
  for (const int64_t directions : {1, 2}) {
    const RecurrentLayer layer(directions, kLstmOrder);
    const at::Tensor h = recurrent_values({directions, kBatch, kHiddenSize}, 60);
    const at::Tensor c = recurrent_values({directions, kBatch, kHiddenSize}, 61);
    const auto [y, hy, cy] =
        at::lstm(kSequence, {h, c}, layer.parameters, true, 1, 0, false, directions == 2, false);
    const std::string attributes = directions == 2 ? "direction = \"bidirectional\", " : "";
    // sequence_lens of full length takes the path step by step.
    for (const bool fused : {true, false}) {
      std::vector<at::Tensor> inputs = {kSequence, layer.w, layer.r, layer.b};
      if (!fused) inputs.push_back(ints({kSteps, kSteps, kSteps}));
      inputs.insert(inputs.end(), {h, c});
      const auto results = run_op(fmt::format("y, yh, yc = LSTM <{}hidden_size = 6> (x, w, r, b, {}, h, c)",
                                              attributes, fused ? "\"\"" : "lens"),
                                  inputs, 14);
      expect_close(results[0].tensor, by_direction(y, directions), 1e-9, 1e-10);
      expect_close(results[1].tensor, hy, 1e-9, 1e-10);
      expect_close(results[2].tensor, cy, 1e-9, 1e-10);
    }
  }
}

TEST(Recurrent, GruEqualsPyTorch) {
  for (const int64_t directions : {1, 2}) {
    const RecurrentLayer layer(directions, kGruOrder);
    const at::Tensor h = recurrent_values({directions, kBatch, kHiddenSize}, 60);
    const auto [y, hy] = at::gru(kSequence, h, layer.parameters, true, 1, 0, false, directions == 2, false);
    const std::string attributes = directions == 2 ? "direction = \"bidirectional\", " : "";
    for (const bool fused : {true, false}) {
      std::vector<at::Tensor> inputs = {kSequence, layer.w, layer.r, layer.b};
      if (!fused) inputs.push_back(ints({kSteps, kSteps, kSteps}));
      inputs.push_back(h);
      const auto results =
          run_op(fmt::format("y, yh = GRU <{}hidden_size = 6, linear_before_reset = 1> (x, w, r, b, {}, h)",
                             attributes, fused ? "\"\"" : "lens"),
                 inputs, 14);
      expect_close(results[0].tensor, by_direction(y, directions), 1e-9, 1e-10);
      expect_close(results[1].tensor, hy, 1e-9, 1e-10);
    }
  }
}

TEST(Recurrent, RnnEqualsPyTorch) {
  const RecurrentLayer layer(1, {0});
  const at::Tensor zeros = at::zeros({1, kBatch, kHiddenSize}, at::kDouble);
  for (const bool tanh : {true, false}) {
    const auto [y, hy] =
        tanh ? at::rnn_tanh(kSequence, zeros, layer.parameters, true, 1, 0, false, false, false)
             : at::rnn_relu(kSequence, zeros, layer.parameters, true, 1, 0, false, false, false);
    for (const char* clip : {"", "clip = 1e9, "}) {  // a clip takes the path step by step
      const auto results =
          run_op(fmt::format("y, yh = RNN <{}hidden_size = 6, activations = [\"{}\"]> (x, w, r, b)", clip,
                             tanh ? "Tanh" : "relu"),
                 {kSequence, layer.w, layer.r, layer.b}, 14);
      expect_close(results[0].tensor, by_direction(y, 1), 1e-9, 1e-10);
      expect_close(results[1].tensor, hy, 1e-9, 1e-10);
    }
  }
}

TEST(Recurrent, ReverseRunsTheFlippedSequence) {
  const RecurrentLayer layer(1, kLstmOrder);
  const auto forward = run_op("y, yh = LSTM <hidden_size = 6> (x, w, r, b)",
                              {kSequence.flip(0), layer.w, layer.r, layer.b}, 14);
  const auto reverse = run_op("y, yh = LSTM <hidden_size = 6, direction = \"reverse\"> (x, w, r, b)",
                              {kSequence, layer.w, layer.r, layer.b}, 14);
  expect_close(reverse[0].tensor.flip(0), forward[0].tensor, 1e-9, 1e-10);
  expect_close(reverse[1].tensor, forward[1].tensor, 1e-9, 1e-10);
}

TEST(Recurrent, LayoutOneHasTheBatchFirst) {
  const RecurrentLayer layer(2, kGruOrder);
  const at::Tensor h = recurrent_values({2, kBatch, kHiddenSize}, 60);
  const std::string call =
      "y, yh = GRU <direction = \"bidirectional\", hidden_size = 6, layout = {}> (x, w, r, b, \"\", h)";
  const auto time_first =
      run_op(fmt::format(fmt::runtime(call), 0), {kSequence, layer.w, layer.r, layer.b, h}, 14);
  const auto batch_first =
      run_op(fmt::format(fmt::runtime(call), 1),
             {kSequence.transpose(0, 1), layer.w, layer.r, layer.b, h.transpose(0, 1)}, 14);
  expect_close(batch_first[0].tensor, time_first[0].tensor.permute({2, 0, 1, 3}), 1e-9, 1e-10);
  expect_close(batch_first[1].tensor, time_first[1].tensor.transpose(0, 1), 1e-9, 1e-10);
}

TEST(Recurrent, EachRowEndsAtItsOwnLength) {
  const RecurrentLayer layer(2, kLstmOrder);
  const std::vector<int64_t> lengths = {4, 1, 3};
  const auto all =
      run_op("y, yh, yc = LSTM <direction = \"bidirectional\", hidden_size = 6> (x, w, r, b, lens)",
             {kSequence, layer.w, layer.r, layer.b, ints(lengths)}, 14);
  for (int64_t row = 0; row < kBatch; ++row) {
    const at::Tensor own = kSequence.slice(0, 0, lengths[row]).narrow(1, row, 1);
    const auto alone =
        run_op("y, yh, yc = LSTM <direction = \"bidirectional\", hidden_size = 6> (x, w, r, b)",
               {own, layer.w, layer.r, layer.b}, 14);
    const at::Tensor y = all[0].tensor.narrow(2, row, 1);
    expect_close(y.slice(0, 0, lengths[row]), alone[0].tensor, 1e-9, 1e-10);
    EXPECT_TRUE(at::equal(y.slice(0, lengths[row]), at::zeros_like(y.slice(0, lengths[row]))));
    expect_close(all[1].tensor.narrow(1, row, 1), alone[1].tensor, 1e-9, 1e-10);
    expect_close(all[2].tensor.narrow(1, row, 1), alone[2].tensor, 1e-9, 1e-10);
  }
}

// One step of one unit, by hand.
TEST(Recurrent, PeepholesClipAndCoupledGates) {
  const auto value = [](double v) { return at::full({1, 1, 1}, v, at::kDouble); };
  const at::Tensor w = at::tensor({0.5, -0.4, 0.3, 2.0}, at::kDouble).reshape({1, 4, 1});  // i o f c
  const at::Tensor r = at::zeros({1, 4, 1}, at::kDouble);
  const at::Tensor p = at::tensor({0.2, 0.7, -0.6}, at::kDouble).reshape({1, 3});  // i o f
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const double x = 2, c0 = 0.8, clip = 1.5;
  const auto results =
      run_op("y, yh, yc = LSTM <hidden_size = 1, clip = 1.5> (x, w, r, \"\", \"\", \"\", c, p)",
             {value(x), w, r, value(c0), p}, 14);
  const double i = sigmoid(0.5 * x + 0.2 * c0), f = sigmoid(0.3 * x - 0.6 * c0);
  const double c = f * c0 + i * std::tanh(clip);  // 4 is clipped
  const double o = sigmoid(-0.4 * x + 0.7 * c);
  EXPECT_NEAR(results[2].tensor.item<double>(), c, 1e-12);
  EXPECT_NEAR(results[1].tensor.item<double>(), o * std::tanh(c), 1e-12);

  const auto coupled =
      run_op("y, yh, yc = LSTM <hidden_size = 1, input_forget = 1> (x, w, r, \"\", \"\", \"\", c)",
             {value(x), w, r, value(c0)}, 14);
  const double gate = sigmoid(0.5 * x);
  EXPECT_NEAR(coupled[2].tensor.item<double>(), (1 - gate) * c0 + gate * std::tanh(4.0), 1e-12);
}

TEST(Recurrent, ActivationsTakeTheirParametersInOrder) {
  const std::map<std::string, std::function<double(double)>> expected = {
      {"Affine", [](double v) { return 0.5 * v + 0.25; }},
      {"LeakyRelu", [](double v) { return v >= 0 ? v : 0.5 * v; }},
      {"ThresholdedRelu", [](double v) { return v >= 0.5 ? v : 0; }},
      {"ScaledTanh", [](double v) { return 0.5 * std::tanh(0.25 * v); }},
      {"HardSigmoid", [](double v) { return std::clamp(0.5 * v + 0.25, 0.0, 1.0); }},
      {"Elu", [](double v) { return v >= 0 ? v : 0.5 * std::expm1(v); }},
      {"Softsign", [](double v) { return v / (1 + std::abs(v)); }},
      {"Softplus", [](double v) { return std::log1p(std::exp(v)); }},
      {"Sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); }},
      {"Tanh", [](double v) { return std::tanh(v); }},
      {"Relu", [](double v) { return std::max(v, 0.0); }},
  };
  const at::Tensor x = at::tensor({-1.5, -0.2, 0.3, 0.7, 3.0}, at::kDouble).reshape({1, 5, 1});
  for (const auto& [name, function] : expected) {
    const at::Tensor y =
        run_op1(fmt::format("y = RNN <hidden_size = 1, activations = [\"{}\"], activation_alpha = [0.5], "
                            "activation_beta = [0.25]> (x, w, r)",
                            name),
                {x, at::ones({1, 1, 1}, at::kDouble), at::zeros({1, 1, 1}, at::kDouble)}, 14);
    for (int64_t i = 0; i < 5; ++i) {
      EXPECT_NEAR(y.flatten()[i].item<double>(), function(x.flatten()[i].item<double>()), 1e-9) << name;
    }
  }
  // The second direction's function takes the first alpha: Tanh has none.
  const at::Tensor y = run_op1(
      "y = RNN <hidden_size = 1, direction = \"bidirectional\", activations = [\"Tanh\", \"LeakyRelu\"], "
      "activation_alpha = [0.25]> (x, w, r)",
      {at::full({1, 1, 1}, -2.0, at::kDouble), at::ones({2, 1, 1}, at::kDouble),
       at::zeros({2, 1, 1}, at::kDouble)},
      14);
  EXPECT_NEAR(y.flatten()[0].item<double>(), std::tanh(-2.0), 1e-9);
  EXPECT_NEAR(y.flatten()[1].item<double>(), -0.5, 1e-9);
}

TEST(Recurrent, GradientsOfFusedAndComposedPaths) {
  const at::Tensor x = recurrent_values({3, 2, 2}, 1);
  const auto weights = [&](int64_t gates, int64_t directions) {
    return std::vector<at::Tensor>{x, recurrent_values({directions, gates * 2, 2}, 2),
                                   recurrent_values({directions, gates * 2, 2}, 3),
                                   recurrent_values({directions, 2 * gates * 2}, 4)};
  };
  expect_gradient("y = LSTM <hidden_size = 2, direction = \"bidirectional\"> (x, w, r, b)", weights(4, 2),
                  14);
  expect_gradient("y = GRU <hidden_size = 2, linear_before_reset = 1, direction = \"reverse\"> (x, w, r, b)",
                  weights(3, 1), 14);
  expect_gradient("y = GRU <hidden_size = 2> (x, w, r, b)", weights(3, 1), 14);
  expect_gradient("y = RNN <hidden_size = 2> (x, w, r, b)", weights(1, 1), 14);
  std::vector<at::Tensor> peepholes = weights(4, 1);
  peepholes.push_back(ints({3, 2}));
  peepholes.push_back(recurrent_values({1, 2, 2}, 5));
  peepholes.push_back(recurrent_values({1, 2, 2}, 6));
  peepholes.push_back(recurrent_values({1, 6}, 7));
  expect_gradient("y = LSTM <hidden_size = 2> (x, w, r, b, lens, h, c, p)", peepholes, 14);
}

TEST(Recurrent, ConstantWeightsArePutInOrderOnce) {
  const RecurrentLayer layer(2, kLstmOrder);
  const std::string call = "y = LSTM <direction = \"bidirectional\", hidden_size = 6> (x, w, r, b)";
  const std::vector<at::Tensor> inputs = {kSequence, layer.w, layer.r, layer.b};
  expect_close(run_op1(call, inputs, 14, false, {1, 2, 3}), run_op1(call, inputs, 14), 1e-12, 1e-12);
}

TEST(Recurrent, EmptySequencesKeepTheState) {
  const RecurrentLayer layer(1, kGruOrder);
  const at::Tensor h = recurrent_values({1, kBatch, kHiddenSize}, 60);
  const auto results = run_op("y, yh = GRU <hidden_size = 6, linear_before_reset = 1> (x, w, r, b, \"\", h)",
                              {kSequence.slice(0, 0, 0), layer.w, layer.r, layer.b, h}, 14);
  EXPECT_EQ(results[0].tensor.sizes(), at::IntArrayRef({0, 1, kBatch, kHiddenSize}));
  EXPECT_TRUE(at::equal(results[1].tensor, h));
}

TEST(Recurrent, InfersShapesAndCountsWork) {
  const char* text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[T,N,5] x, float[2,24,5] w, float[2,24,6] r) => (float[] y) {
      y, yh, yc = LSTM <hidden_size = 6, direction = "bidirectional"> (x, w, r)
    })";
  EXPECT_EQ(to_string(inferred(text, "y")), "float[T,2,N,6]");
  EXPECT_EQ(to_string(inferred(text, "yh")), "float[2,N,6]");
  EXPECT_EQ(to_string(inferred(text, "yc")), "float[2,N,6]");
  const Op* lstm = find_op("", "LSTM", 21);
  const std::vector<Shape> inputs = {
      {Dim(4), Dim(3), Dim(5)}, {Dim(2), Dim(24), Dim(5)}, {Dim(2), Dim(24), Dim(6)}};
  EXPECT_EQ(lstm->macs(Node(), inputs, {}), 4 * 3 * (2 * 24 * 5 + 2 * 24 * 6));
  EXPECT_EQ(lstm->role(1), Role::kWeight);
  EXPECT_EQ(lstm->role(4), Role::kConstant);
  EXPECT_EQ(lstm->role(7), Role::kWeight);
}

TEST(Recurrent, RefusesWhatDoesNotFit) {
  const at::Tensor x = at::zeros({2, 1, 3}), w = at::zeros({1, 8, 3}), r = at::zeros({1, 8, 2});
  EXPECT_NO_THROW(run_op1("y = LSTM <hidden_size = 2> (x, w, r)", {x, w, r}, 14));
  const std::vector<std::pair<std::string, std::vector<at::Tensor>>> broken = {
      {"y = LSTM (x, w, r)", {at::zeros({2, 3}), w, r}},
      {"y = LSTM (x, w, r)", {x, at::zeros({1, 8, 4}), r}},
      {"y = LSTM (x, w, r)", {x, w, at::zeros({1, 6, 2})}},
      {"y = LSTM (x, w, r)", {x, w, at::zeros({16})}},
      {"y = LSTM <direction = \"bidirectional\"> (x, w, r)", {x, w, r}},
      {"y = LSTM (x, w, r, b)", {x, w, r, at::zeros({1, 8})}},
      {"y = LSTM (x, w, r, \"\", lens)", {x, w, r, ints({3})}},
      {"y = LSTM (x, w, r, \"\", lens)", {x, w, r, ints({-1})}},
      {"y = LSTM (x, w, r, \"\", lens)", {x, w, r, ints({1, 1})}},
      {"y = LSTM (x, w, r, \"\", \"\", h)", {x, w, r, at::zeros({1, 2, 2})}},
      {"y = LSTM (x, w, r, \"\", \"\", \"\", c)", {x, w, r, at::zeros({1, 2})}},
      {"y = LSTM (x, w, r, \"\", \"\", \"\", \"\", p)", {x, w, r, at::zeros({1, 8})}},
      {"y = LSTM <direction = \"sideways\"> (x, w, r)", {x, w, r}},
      {"y = LSTM <layout = 2> (x, w, r)", {x, w, r}},
      {"y = LSTM <activations = [\"Sigmoid\"]> (x, w, r)", {x, w, r}},
      {"y = LSTM <activations = [\"Sigmoid\", \"Tanh\", \"Cosine\"]> (x, w, r)", {x, w, r}},
      {"y = LSTM <clip = -1.0> (x, w, r)", {x, w, r}},
  };
  for (const auto& [call, inputs] : broken) EXPECT_THROW(run_op1(call, inputs, 14), Error) << call;
}

}  // namespace
}  // namespace mc
