#include "mc/ops/sequence.h"

#include <gmock/gmock.h>

#include "tests/ops/interpreter.h"
#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::counting;
using testing::expect_close;
using testing::inferred;
using testing::Interpreter;
using testing::ints;

// Runs the graph "g <signature> { <body> }" through the operator table.
std::vector<Slot> run_graph(const std::string& graph, const std::vector<Slot>& inputs, int64_t opset = 21) {
  const Model model =
      parse_model(fmt::format("<ir_version: 10, opset_import: [\"\" : {}]> g {}", opset, graph));
  return Interpreter(model).run(inputs);
}

const at::Tensor kA = at::tensor({1.f, 2.f}), kB = at::tensor({3.f, 4.f, 5.f}), kC = at::tensor({6.f});

std::vector<at::Tensor> tensors_of(const Slot& slot) {
  EXPECT_TRUE(is_sequence(slot));
  std::vector<at::Tensor> tensors;
  for (const Slot& element : slot.extra->sequence) tensors.push_back(element.tensor);
  return tensors;
}

void expect_elements(const Slot& slot, const std::vector<at::Tensor>& expected) {
  const std::vector<at::Tensor> actual = tensors_of(slot);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(at::equal(actual[i], expected[i])) << i;
}

TEST(Sequence, ConstructInsertEraseAtAndLength) {
  const auto results = run_graph(R"((float[N] a, float[M] b, float[K] c) => (seq(float[]) s, seq(float[]) t,
      seq(float[]) u, seq(float[]) v, float[] w, int64 n) {
    s = SequenceConstruct (a, b)
    t = SequenceInsert (s, c)
    first = Constant <value = int64 {-2}> ()
    u = SequenceInsert (s, c, first)
    v = SequenceErase (t, first)
    w = SequenceAt (t, first)
    n = SequenceLength (t)
  })",
                                 {kA, kB, kC});
  expect_elements(results[0], {kA, kB});
  expect_elements(results[1], {kA, kB, kC});
  expect_elements(results[2], {kC, kA, kB});
  expect_elements(results[3], {kA, kC});
  EXPECT_TRUE(at::equal(results[4].tensor, kB));
  EXPECT_EQ(results[5].tensor.item<int64_t>(), 3);
}

TEST(Sequence, EmptyHasItsElementType) {
  const auto results = run_graph(R"(() => (seq(int64[]) s, int64 n) {
    s = SequenceEmpty <dtype = 7> ()
    n = SequenceLength (s)
  })",
                                 {});
  EXPECT_EQ(results[0].dtype(), DType::kInt64);
  EXPECT_EQ(results[1].tensor.item<int64_t>(), 0);
}

TEST(Sequence, SplitsAndConcatenates) {
  const at::Tensor x = counting({4, 3});
  const std::string split =
      "(float[4,3] x, int64[] n) => (seq(float[]) s, float[] y, float[] z) "
      "{ s = SplitToSequence <axis = 0> (x, n) y = ConcatFromSequence <axis = 0> (s) z = Identity (y) }";
  auto results = run_graph(split, {x, at::scalar_tensor(3, at::kLong)});
  expect_elements(results[0], {x.narrow(0, 0, 3), x.narrow(0, 3, 1)});
  EXPECT_TRUE(at::equal(results[1].tensor, x));
  results = run_graph(split, {x, ints({1, 3})});
  expect_elements(results[0], {x.narrow(0, 0, 1), x.narrow(0, 1, 3)});
  results = run_graph(
      "(float[4,3] x) => (seq(float[]) s, float[] y) "
      "{ s = SplitToSequence <axis = -1, keepdims = 0> (x) "
      "y = ConcatFromSequence <axis = -1, new_axis = 1> (s) }",
      {x});
  expect_elements(results[0], x.unbind(1));
  EXPECT_TRUE(at::equal(results[1].tensor, x));
}

TEST(Sequence, GradientsGoThrough) {
  const at::Tensor x = counting({4, 3}).requires_grad_(true);
  const auto results = run_graph(R"((float[4,3] x) => (float[] y) {
    s = SplitToSequence <axis = 0, keepdims = 0> (x)
    last = Constant <value = int64 {-1}> ()
    row = SequenceAt (s, last)
    t = SequenceInsert (s, row)
    y = ConcatFromSequence <axis = 0, new_axis = 1> (t)
  })",
                                 {x});
  results[0].tensor.sum().backward();
  at::Tensor expected = at::ones({4, 3});
  expected[3].fill_(2);
  EXPECT_TRUE(at::equal(x.grad(), expected));
}

TEST(Sequence, MapRunsItsBodyForEachElement) {
  const auto results = run_graph(R"((seq(float[N]) s, float[1] t) => (seq(float[N]) y, seq(int64[1]) n) {
    y, n = SequenceMap (s, t) <body: graph = b (float[N] e, float[1] f) => (float[N] r, int64[1] k) {
      r = Add (e, f)
      k = Shape (e)
    }>
  })",
                                 {sequence_slot({kA, kB}), at::tensor({10.f})});
  expect_elements(results[0], {kA + 10, kB + 10});
  expect_elements(results[1], {ints({2}), ints({3})});
}

TEST(Sequence, OptionalsHoldSomethingOrNothing) {
  const std::string graph =
      R"((float[N] x) => (optional(float[N]) o, bool yes, bool no, float[N] y, optional(float[N]) e) {
    o = Optional (x)
    e = Optional <type: type_proto = float[N]> ()
    copy = Identity (e)
    yes = OptionalHasElement (o)
    no = OptionalHasElement (copy)
    y = OptionalGetElement (o)
  })";
  const auto results = run_graph(graph, {kA});
  EXPECT_TRUE(at::equal(results[0].tensor, kA));
  EXPECT_TRUE(results[1].tensor.item<bool>());
  EXPECT_FALSE(results[2].tensor.item<bool>());
  EXPECT_TRUE(at::equal(results[3].tensor, kA));
  EXPECT_TRUE(is_empty_optional(results[4]));
  EXPECT_THROW(
      run_graph("(optional(float[N]) e) => (float[N] y) { y = OptionalGetElement (e) }", {empty_optional()}),
      Error);
}

TEST(Sequence, LoopsAndBranchesCarryThem) {
  const std::string graph = R"((int64 n, float[2] x) => (seq(float[]) s, string[] names) {
    start = SequenceEmpty ()
    s, names = Loop (n, "", start) <body: graph = b (int64 i, bool c, seq(float[]) before) => (bool go, seq(float[]) after, string[1] name) {
      go = Identity (c)
      zero = Constant <value = int64 {0}> ()
      first = Equal (i, zero)
      after = If (first) <then_branch: graph = t () => (seq(float[]) p) { p = SequenceInsert (before, x) },
                          else_branch: graph = e () => (seq(float[]) q) { d = Add (x, x) q = SequenceInsert (before, d) }>
      name = Constant <value = string[1] {"a"}> ()
    }>
  })";
  const auto results = run_graph(graph, {at::scalar_tensor(3, at::kLong), kA});
  expect_elements(results[0], {kA, kA * 2, kA * 2});
  ASSERT_TRUE(is_strings(results[1]));
  EXPECT_EQ(results[1].extra->string_dims, (std::vector<int64_t>{3, 1}));
  EXPECT_THAT(results[1].extra->strings, ::testing::ElementsAre("a", "a", "a"));
  const auto none = run_graph(graph, {at::scalar_tensor(0, at::kLong), kA});
  EXPECT_TRUE(tensors_of(none[0]).empty());
  EXPECT_EQ(none[1].extra->string_dims, (std::vector<int64_t>{0, 1}));
}

TEST(Sequence, StacksStringsAlongAnyAxis) {
  const Slot a = string_slot({"a", "b"}, {2}), b = string_slot({"c", "d"}, {2});
  EXPECT_THAT(stack_slots({a, b}, 0).extra->strings, ::testing::ElementsAre("a", "b", "c", "d"));
  const Slot columns = stack_slots({a, b}, -1);
  EXPECT_THAT(columns.extra->strings, ::testing::ElementsAre("a", "c", "b", "d"));
  EXPECT_EQ(columns.extra->string_dims, (std::vector<int64_t>{2, 2}));
  EXPECT_THROW(stack_slots({a, string_slot({"c"}, {1})}, 0), Error);
  EXPECT_THROW(stack_slots({a, Slot(kA)}, 0), Error);
  EXPECT_THROW(stack_slots({sequence_slot({})}, 0), Error);
  EXPECT_THROW(stack_slots({}, 0), Error);
}

TEST(Sequence, InfersTypes) {
  const char* text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[batch,6] x, float[batch,2] z) => (float[] last) {
      three = Constant <value = int64 {3}> ()
      s = SplitToSequence <axis = 1> (x, three)
      t = SequenceInsert (s, z)
      e = SequenceAt (s, three)
      y = ConcatFromSequence <axis = 1> (t)
      w = ConcatFromSequence <axis = 0, new_axis = 1> (s)
      n = SequenceLength (t)
      o = Optional (s)
      p = OptionalGetElement (o)
      m = SequenceMap (s) <body: graph = b (float[] q) => (int64[] r) { r = Shape (q) }>
      last = Identity (y)
    })";
  EXPECT_EQ(to_string(inferred(text, "s")), "seq(float[batch,3])");
  EXPECT_EQ(to_string(inferred(text, "t")), "seq(float[batch,?])");
  EXPECT_EQ(to_string(inferred(text, "e")), "float[batch,3]");
  EXPECT_EQ(to_string(inferred(text, "y")), "float[batch,?]");
  EXPECT_EQ(to_string(inferred(text, "w")), "float[?,batch,3]");
  EXPECT_EQ(to_string(inferred(text, "n")), "int64");
  EXPECT_EQ(to_string(inferred(text, "o")), "optional(seq(float[batch,3]))");
  EXPECT_EQ(to_string(inferred(text, "p")), "seq(float[batch,3])");
  EXPECT_EQ(to_string(inferred(text, "m")), "seq(int64[2])");
}

TEST(Sequence, RefusesWhatDoesNotFit) {
  const Slot s = sequence_slot({kA, kB});
  const auto refuses = [](const std::string& graph, const std::vector<Slot>& inputs) {
    EXPECT_THROW(run_graph(graph, inputs), Error) << graph;
  };
  const std::string at = "(seq(float[]) s, int64 i) => (float[] y) { y = SequenceAt (s, i) }";
  for (const int64_t position : {2, -3}) refuses(at, {s, at::scalar_tensor(position, at::kLong)});
  refuses(at, {Slot(kA), at::scalar_tensor(0, at::kLong)});
  refuses(at, {s, ints({0, 1})});
  refuses("(seq(float[]) s, float[N] x, int64 i) => (seq(float[]) y) { y = SequenceInsert (s, x, i) }",
          {s, kA, at::scalar_tensor(3, at::kLong)});
  refuses("(seq(float[]) s, int64[N] x) => (seq(float[]) y) { y = SequenceInsert (s, x) }", {s, ints({1})});
  refuses("(seq(float[]) s) => (seq(float[]) y) { y = SequenceErase (s) }", {sequence_slot({})});
  refuses("(seq(float[]) s) => (float[] y) { y = ConcatFromSequence <axis = 0> (s) }", {sequence_slot({})});
  refuses("(seq(float[]) s) => (float[] y) { y = ConcatFromSequence <axis = 1> (s) }", {s});
  refuses("(seq(float[]) s) => (float[] y) { y = ConcatFromSequence <axis = 0, new_axis = 1> (s) }", {s});
  const std::string split = "(float[4] x, int64[] n) => (seq(float[]) y) { y = SplitToSequence (x, n) }";
  refuses(split, {counting({4}), at::scalar_tensor(0, at::kLong)});
  refuses(split, {counting({4}), ints({2, 3})});
  refuses(split, {counting({4}), ints({-1, 5})});
  refuses(split, {counting({4}), ints({1, 1})});
  refuses(
      "(seq(float[]) s, seq(float[]) t) => (seq(float[]) y) { y = SequenceMap (s, t) "
      "<body: graph = b (float[] e, float[] f) => (float[] r) { r = Add (e, f) }> }",
      {s, sequence_slot({kA})});
  refuses("(float[2] a, int64[2] b) => (seq(float[]) y) { y = SequenceConstruct (a, b) }",
          {kA, ints({1, 2})});
  refuses("() => (seq(float[]) y) { y = SequenceEmpty <dtype = 99> () }", {});
}

}  // namespace
}  // namespace mc
