#include <gmock/gmock.h>

#include "tests/ops/interpreter.h"
#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::counting;
using testing::expect_close;
using testing::inferred;
using testing::ints;

std::vector<Slot> run_scan(const std::string& attributes, const std::vector<Slot>& inputs) {
  // state and sum: state' = state * 0.5 + x, output = state' and x
  const Model model = parse_model(fmt::format(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (double[N] s, double[] x) => (double[N] last, double[] y, double[] z) {{
      last, y, z = Scan (s, x) <num_scan_inputs = 1, {} body: graph = b (double[N] before, double[N] e) => (double[N] after, double[N] a, double[N] c) {{
        half = Constant <value = double {{0.5}}> ()
        scaled = Mul (before, half)
        after = Add (scaled, e)
        a = Identity (after)
        c = Identity (e)
      }}>
    }})",
                                              attributes));
  return testing::Interpreter(model).run(inputs);
}

// The same by hand: x [steps, n].
std::pair<at::Tensor, at::Tensor> expected_scan(at::Tensor state, const at::Tensor& x) {
  std::vector<at::Tensor> states;
  for (int64_t t = 0; t < x.size(0); ++t) {
    state = state * 0.5 + x[t];
    states.push_back(state);
  }
  return {state, at::stack(states)};
}

TEST(Scan, CarriesStateAndCollectsOutputs) {
  const at::Tensor s = at::tensor({1.0, -1.0}), x = counting({3, 2}).to(at::kDouble);
  const auto results = run_scan("", {s, x});
  const auto [last, y] = expected_scan(s, x);
  expect_close(results[0].tensor, last);
  expect_close(results[1].tensor, y);
  expect_close(results[2].tensor, x);
}

TEST(Scan, AxesAndDirections) {
  const at::Tensor s = at::tensor({1.0, -1.0}), x = counting({2, 3}).to(at::kDouble);
  const auto results = run_scan(
      "scan_input_axes = [-1], scan_input_directions = [1], "
      "scan_output_axes = [1, -2], scan_output_directions = [1, 0], ",
      {s, x});
  const auto [last, y] = expected_scan(s, x.t().flip(0));
  expect_close(results[0].tensor, last);
  expect_close(results[1].tensor, y.flip(0).t());
  expect_close(results[2].tensor, x.t().flip(0));
}

TEST(Scan, GradientsGoThroughTheBody) {
  const at::Tensor s = at::tensor({1.0, -1.0}).requires_grad_(true);
  const at::Tensor x = counting({3, 2}).to(at::kDouble).requires_grad_(true);
  run_scan("", {s, x})[0].tensor.sum().backward();
  expect_close(s.grad(), at::full({2}, 0.125, at::kDouble));
  expect_close(x.grad(), at::tensor({0.25, 0.25, 0.5, 0.5, 1.0, 1.0}, at::kDouble).reshape({3, 2}));
}

TEST(Scan, NoStepsKeepTheState) {
  const at::Tensor s = at::tensor({1.0, -1.0});
  const auto results = run_scan("", {s, at::zeros({0, 2}, at::kDouble)});
  EXPECT_TRUE(at::equal(results[0].tensor, s));
  EXPECT_EQ(results[1].tensor.size(0), 0);
}

TEST(Scan, Opset8RunsEachRowOfABatchForItsLength) {
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 8]>
    g (int64[B] n, float[B] s, float[B,T] x) => (float[B] last, float[B,T] y) {
      last, y = Scan (n, s, x) <num_scan_inputs = 1, directions = [1], body: graph = b (float before, float e) => (float after, float a) {
        after = Add (before, e)
        a = Identity (after)
      }>
    })");
  const auto results =
      testing::Interpreter(model).run({ints({3, 1}), at::tensor({10.f, 20.f}), counting({2, 3}) + 1});
  EXPECT_TRUE(at::equal(results[0].tensor, at::tensor({16.f, 24.f})));
  EXPECT_TRUE(at::equal(results[1].tensor, at::tensor({13.f, 15.f, 16.f, 24.f, 0.f, 0.f}).reshape({2, 3})));
  EXPECT_THROW(testing::Interpreter(model).run({ints({4, 1}), at::tensor({10.f, 20.f}), counting({2, 3})}),
               Error);
  EXPECT_THROW(testing::Interpreter(model).run({ints({1}), at::tensor({10.f, 20.f}), counting({2, 3})}),
               Error);
  EXPECT_THROW(testing::Interpreter(model).run({ints({1, 1}), at::tensor({10.f}), counting({2, 3})}), Error);
}

TEST(Scan, InfersShapes) {
  const char* text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[n] s, float[n,T] x) => (float[] y) {
      last, y = Scan (s, x) <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
          body: graph = b (float[] before, float[] e) => (float[] after, float[] a) {
        after = Add (before, e)
        a = Identity (after)
      }>
    })";
  EXPECT_EQ(to_string(inferred(text, "last")), "float[n]");
  EXPECT_EQ(to_string(inferred(text, "y")), "float[n,T]");
}

TEST(Scan, RefusesWhatDoesNotFit) {
  const at::Tensor s = at::tensor({1.0, -1.0}), x = counting({3, 2}).to(at::kDouble);
  for (const char* attributes :
       {"scan_input_axes = [2], ", "scan_input_axes = [0, 0], ", "scan_input_directions = [2], ",
        "scan_output_axes = [0], ", "scan_output_axes = [0, 5], "}) {
    EXPECT_THROW(run_scan(attributes, {s, x}), Error) << attributes;
  }
  EXPECT_THROW(run_scan("", {s, at::scalar_tensor(1.0, at::kDouble)}), Error);
  const auto refuses = [](const std::string& node) {
    const Model model = parse_model(fmt::format(R"(<ir_version: 10, opset_import: ["" : 21]>
      g (float[2] a, float[3] b) => (float[] y) {{ y = Scan (a, b) <{}> }})",
                                                node));
    EXPECT_THROW(testing::Interpreter(model).run({counting({2}), counting({3})}), Error) << node;
  };
  const std::string body = "body: graph = b (float p, float q) => (float r) { r = Add (p, q) }";
  refuses("num_scan_inputs = 2, " + body);  // 2 and 3 steps
  refuses("num_scan_inputs = 3, " + body);
  refuses("num_scan_inputs = 0, " + body);
  refuses("num_scan_inputs = 1");
  refuses("num_scan_inputs = 1, body: graph = b (float p) => (float r) { r = Identity (p) }");
}

}  // namespace
}  // namespace mc
