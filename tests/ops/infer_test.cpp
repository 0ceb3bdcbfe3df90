#include <gmock/gmock.h>

#include "mc/ops/infer_helpers.h"
#include "mc/ops/infer_node.h"
#include "tests/ops/interpreter.h"
#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using testing::inferred;
using testing::ints;

std::string model(const std::string& graph) {
  return "<ir_version: 10, opset_import: [\"\" : 21, \"f\" : 1]> g " + graph;
}

std::string inferred_text(const std::string& graph, const std::string& value) {
  return to_string(inferred(model(graph), value));
}

TEST(InferHelpers, BroadcastKeepsSymbols) {
  const Dim batch(std::string("batch"));
  EXPECT_EQ(to_string(broadcast_shapes({batch, 1, 4}, {3, 1})), "[batch,3,4]");
  EXPECT_EQ(to_string(broadcast_shapes({batch}, {7})), "[7]");
  EXPECT_EQ(to_string(broadcast_shapes({batch}, {Dim(std::string("other"))})), "[?]");
  EXPECT_EQ(to_string(broadcast_shapes({batch, Dim()}, {batch, 1})), "[batch,?]");
  EXPECT_THROW(broadcast_shapes({2}, {3}), Error);
}

TEST(InferHelpers, DimArithmetic) {
  const Dim batch(std::string("batch"));
  EXPECT_EQ(multiply_dims(batch, 1), batch);
  EXPECT_EQ(multiply_dims(batch, 0), Dim(0));
  EXPECT_EQ(multiply_dims(3, 4), Dim(12));
  EXPECT_FALSE(multiply_dims(batch, 2).known());
  EXPECT_EQ(multiply_dims(int64_t{1} << 62, 4), Dim());  // too large to say
  EXPECT_EQ(add_dims(batch, 0), batch);
  EXPECT_THROW(normalize_axis(2, 2), Error);
  EXPECT_EQ(normalize_axis(-1, 2), 1);
  EXPECT_EQ(merge_dims(batch, 4), Dim(4));
  EXPECT_THROW(merge_dims(3, 4), Error);
}

// How long a slice is depends on a number that is fed; what is computed from it is as long.
TEST(Infer, DimsOfOneUnknownSizeAreTheSame) {
  Model graph = parse_model(model(R"((float[batch,9,8] x, int64[1] last) => (float[batch,n,2,4] y) {
    one = Constant <value_ints = [1]> ()
    zero = Constant <value_ints = [0]> ()
    a = Slice (x, zero, last, one)
    b = Relu (a)
    c = Add (a, b)
    size = Shape <end = 2> (c)
    rest = Constant <value_ints = [-1, 4]> ()
    to = Concat <axis = 0> (size, rest)
    y = Reshape (c, to)
  })"));
  const auto type_of = [](const Model& inferred, const std::string& name) {
    const auto found = std::ranges::find(inferred.graph.value_infos, name, &ValueInfo::name);
    return found == inferred.graph.value_infos.end() ? "" : to_string(found->type);
  };
  Model named = graph;
  infer_named_shapes(named);
  EXPECT_EQ(type_of(named, "a"), R"(float[batch,"mc?0",8])");
  EXPECT_EQ(type_of(named, "c"), R"(float[batch,"mc?0",8])");
  EXPECT_EQ(to_string(named.graph.outputs[0].type), "float[batch,n,2,4]");
  graph.graph.outputs[0].type = {};
  infer_shapes(graph);
  EXPECT_EQ(type_of(graph, "a"), "float[batch,?,8]");
  EXPECT_EQ(to_string(graph.graph.outputs[0].type), "float[batch,?,2,4]") << "the -1 is what remains of 8";
}

TEST(Infer, SymbolsFlowThroughElementwise) {
  EXPECT_EQ(inferred_text("(float[batch,3] x, float[3] b) => (y) { t = Add (x, b) y = Relu (t) }", "y"),
            "float[batch,3]");
  EXPECT_EQ(inferred_text("(float[batch,3] x) => (y) { y = Greater (x, x) }", "y"), "bool[batch,3]");
}

// As exporters flatten: view(x.size(0), -1) becomes Shape, Gather, Unsqueeze, Concat, Reshape.
TEST(Infer, ShapeComputedInTheGraphBecomesNumbersAgain) {
  const char* graph = R"((float[batch,16,4,4] x) => (y)
    <int64 zero = {0}, int64[1] axes = {0}, int64[1] rest = {-1}> {
      s = Shape (x)
      n = Gather (s, zero)
      u = Unsqueeze (n, axes)
      t = Concat <axis = 0> (u, rest)
      y = Reshape (x, t)
    })";
  EXPECT_EQ(inferred_text(graph, "y"), "float[batch,256]");
  const auto fed = inferred(model(graph), "y", {{"x", Type::tensor(DType::kFloat, Shape{8, 16, 4, 4})}});
  EXPECT_EQ(to_string(fed), "float[8,256]");
}

TEST(Infer, ExpandWithWhereOnShapes) {
  // torch.expand(-1, 5): Where(Equal(shape, -1), ones, shape) on [batch, 5].
  EXPECT_EQ(inferred_text(R"((float[batch,1] x) => (y)
    <int64 zero = {0}, int64[1] axes = {0}, int64[1] five = {5}, int64[2] minus = {-1, -1}, int64[2] ones = {1, 1}> {
      s = Shape <start = 0, end = 1> (x)
      t = Concat <axis = 0> (s, five)
      e = Equal (t, minus)
      w = Where (e, ones, t)
      y = Expand (x, w)
    })",
                          "y"),
            "float[batch,5]");
}

TEST(Infer, ArithmeticOnShapes) {
  EXPECT_EQ(inferred_text(R"((float[batch,6,8] x) => (y) <int64[1] two = {2}, int64[1] b = {1}> {
      n = Shape <start = 0, end = 1> (x)
      h = Shape <start = 1, end = 2> (x)
      half = Div (h, two)
      w = Shape <start = 2, end = 3> (x)
      wide = Mul (w, two)
      same = Mul (n, b)
      t = Concat <axis = 0> (same, half, wide)
      y = Reshape (x, t)
    })",
                          "y"),
            "float[batch,3,16]");
}

// Half of 7 in float is 3.5, rounded up 4: integer arithmetic would give 3.
TEST(Infer, FloatArithmeticOnShapesIsExact) {
  EXPECT_EQ(inferred_text(R"((float[7] x) => (y) <float[1] two = {2}> {
      s = Shape (x)
      f = Cast <to = 1> (s)
      h = Div (f, two)
      c = Ceil (h)
      n = Cast <to = 7> (c)
      y = ConstantOfShape (n)
    })",
                          "y"),
            "float[4]");
  EXPECT_EQ(inferred_text(R"((float[batch] x) => (y) <float[1] two = {2}> {
      s = Shape (x)
      f = Cast <to = 1> (s)
      h = Div (f, two)
      n = Cast <to = 7> (h)
      y = ConstantOfShape (n)
    })",
                          "y"),
            "float[?]");
}

TEST(Infer, UnknownOperatorsLeaveTheirOutputsUnknown) {
  const char* graph = "(float[2] x) => (y) { t = Strange (x) u = Relu (t) y = Add (u, x) }";
  EXPECT_EQ(inferred(model(graph), "t").kind, Type::Kind::kUnknown);
  EXPECT_EQ(inferred(model(graph), "y").kind, Type::Kind::kTensor);
}

TEST(Infer, DeclaredTypesHelpBehindUnknownOperators) {
  const char* graph = "(float[2] x) => (y) <float[batch,4] t> { t = Strange (x) y = Relu (t) }";
  EXPECT_EQ(inferred_text(graph, "y"), "float[batch,4]");
}

TEST(Infer, StaleDeclaredTypesGiveWay) {
  const char* graph =
      "(float[batch,8] x) => (float[batch,16] y) <float[batch,16] t> { t = Relu (x) y = Neg (t) }";
  EXPECT_EQ(inferred_text(graph, "t"), "float[batch,8]");
  EXPECT_EQ(inferred_text(graph, "y"), "float[batch,8]");
}

TEST(Infer, FeedsBindSymbolsEverywhere) {
  const char* graph = R"((float[batch,3] x, float[batch,1] z) => (float[batch,3] y) <float[batch,9] t> {
      t = Strange (z)
      y = Add (x, z)
    })";
  const std::vector<std::pair<std::string, Type>> feeds = {{"x", Type::tensor(DType::kFloat, Shape{4, 3})}};
  EXPECT_EQ(to_string(inferred(model(graph), "y", feeds)), "float[4,3]");
  EXPECT_EQ(to_string(inferred(model(graph), "z", feeds)), "float[4,1]");
  EXPECT_THROW(inferred(model(graph), "y", {{"w", Type::tensor(DType::kFloat)}}), Error);
  EXPECT_THROW(inferred(model(graph), "y", {{"x", Type::tensor(DType::kFloat, Shape{4})}}), Error);
}

TEST(Infer, FunctionsAndTheirAttributes) {
  const std::string text = R"(<ir_version: 10, opset_import: ["" : 21, "f" : 1]>
    g (float[batch,3,4] x) => (y) { y = f.turn <order = [0, 2, 1]> (x) }
    <domain: "f", opset_import: ["" : 21]> turn <order> (a) => (b) { t = Relu (a) b = Transpose <perm: ints = @order> (t) })";
  EXPECT_EQ(to_string(inferred(text, "y")), "float[batch,4,3]");
}

TEST(Infer, BranchesThatDisagreeLeaveDimsOpen) {
  EXPECT_EQ(inferred_text(R"((float[2,3] x, bool c, float[2,5] z) => (y) {
      y = If (c) <then_branch: graph = t () => (r) { r = Neg (x) },
                  else_branch: graph = e () => (s) { s = Neg (z) }>
    })",
                          "y"),
            "float[2,?]");
}

TEST(Infer, BranchesThatAreNotTakenMayContradict) {
  const std::string branches = R"(<then_branch: graph = t () => (r) { r = Transpose <perm = [1, 0, 2]> (x) },
                                   else_branch: graph = e () => (s) { s = Neg (x) }> })";
  EXPECT_EQ(inferred_text("(float[2,3] x) => (y) <bool c = {0}> { y = If (c) " + branches, "y"),
            "float[2,3]");
  EXPECT_EQ(inferred(model("(float[2,3] x, bool c) => (y) { y = If (c) " + branches), "y").kind,
            Type::Kind::kUnknown);
}

TEST(Infer, ContradictionsNameTheNode) {
  try {
    inferred(model("(float[2] x, float[3] z) => (y) { [sum] y = Add (x, z) }"), "y");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("sum"));
    EXPECT_THAT(error.what(), HasSubstr("broadcast"));
  }
}

TEST(Infer, RecursiveFunctionsEnd) {
  const std::string text = R"(<ir_version: 10, opset_import: ["" : 21, "f" : 1]>
    g (float[2] x) => (y) { y = f.again (x) }
    <domain: "f", opset_import: ["" : 21, "f" : 1]> again (a) => (b) { b = f.again (a) })";
  EXPECT_EQ(inferred(text, "y").kind, Type::Kind::kUnknown);
}

// Every operator below: what inference says must be what running gives, and the same inference with unknown
// dims must agree where it says anything.
struct Case {
  const char* text;
  std::vector<at::Tensor> inputs;
};

std::vector<Case> cases() {
  const auto ints = [](std::vector<int64_t> values) { return at::tensor(values, at::kLong); };
  const at::Tensor x = at::ones({2, 3, 4});
  const at::Tensor image = at::ones({1, 4, 6, 6});
  return {
      {"y = Reshape (a, b)", {x, ints({0, -1})}},
      {"y = Flatten <axis = 2> (a)", {x}},
      {"y = Squeeze (a, b)", {at::ones({2, 1, 3}), ints({1})}},
      {"y = Squeeze (a)", {at::ones({2, 1, 3})}},
      {"y = Unsqueeze (a, b)", {x, ints({-1, 0})}},
      {"y = Transpose (a)", {x}},
      {"y = Expand (a, b)", {x, ints({5, 1, 1, 1})}},
      {"y = Concat <axis = 1> (a, b)", {x, at::ones({2, 5, 4})}},
      {"y, z = Split <axis = 1, num_outputs = 2> (a)", {x}},
      {"y = Slice (a, b, c, d, e)", {x, ints({3}), ints({-5}), ints({2}), ints({-2})}},
      {"y = Gather <axis = 1> (a, b)", {x, ints({0, 1, 1, 0}).reshape({2, 2})}},
      {"y = GatherElements <axis = 2> (a, b)", {x, ints({0, 1}).reshape({1, 1, 2})}},
      {"y = GatherND (a, b)", {x, ints({0, 1, 1, 0}).reshape({2, 2})}},
      {"y = ScatterND (a, b, c)", {x, ints({0}).reshape({1, 1}), at::zeros({1, 3, 4})}},
      {"y = Pad (a, b)", {x, ints({1, 0, 2, 0, -1, 3})}},
      {"y = Tile (a, b)", {x, ints({2, 1, 3})}},
      {"y = DepthToSpace <blocksize = 2> (a)", {image}},
      {"y = SpaceToDepth <blocksize = 3> (a)", {image}},
      {"y = ReduceMean <keepdims = 0> (a, b)", {x, ints({-1})}},
      {"y = ReduceSum (a)", {x}},
      {"y = ArgMax <axis = 1, keepdims = 0> (a)", {x}},
      {"y, z = TopK (a, b)", {x, ints({2})}},
      {"y = CumSum (a, b)", {x, at::scalar_tensor(1, at::kLong)}},
      {"y = ConstantOfShape (a)", {ints({2, 3})}},
      {"y = Range (a, b, c)", {ints({2}).squeeze(), ints({9}).squeeze(), ints({3}).squeeze()}},
      {"y = OneHot <axis = 1> (a, b, c)", {ints({0, 2}), ints({4}), at::zeros({2})}},
      {"y = Resize (a, \"\", b)", {image, at::tensor({1.f, 1.f, 0.5f, 2.f})}},
      {"y = Resize (a, \"\", \"\", b)", {image, ints({1, 4, 3, 9})}},
      {"y = Where (a, b, c)", {at::ones({3, 1}, at::kBool), at::ones({4}), at::ones({2, 1, 1})}},
      {"y = Shape <start = 1> (a)", {x}},
      {"y = Size (a)", {x}},
      {"y = Cast <to = 7> (a)", {x}},
      {"y = IsNaN (a)", {x}},
      {"y = EyeLike (a)", {at::zeros({2, 3})}},
      {"y = Trilu (a)", {x}},
  };
}

TEST(Infer, AgreesWithRunningEachOperator) {
  const std::vector<std::string> names = {"a", "b", "c", "d", "e"};
  for (const Case& one : cases()) {
    SCOPED_TRACE(one.text);
    const std::vector<Slot> outputs = testing::run_op(one.text, one.inputs);
    for (const bool known : {true, false}) {
      Model text = testing::op_model(one.text, 21);
      text.graph.outputs.emplace_back().name = "y";
      for (size_t i = 0; i < one.inputs.size(); ++i) {
        const at::Tensor& input = one.inputs[i];
        ValueInfo info;
        info.name = names[i];
        info.type = Type::tensor(to_dtype(input.scalar_type()), to_shape(input.sizes()));
        if (known && !input.is_floating_point() && input.scalar_type() != at::kBool) {
          text.graph.add_initializer(names[i], to_constant(input));
        } else if (known && input.dim() == 1 && i > 0) {
          text.graph.add_initializer(names[i], to_constant(input));  // scales
        } else {
          if (!known) info.type.shape = Shape(input.dim());
          text.graph.inputs.push_back(info);
        }
      }
      infer_shapes(text);
      const Type type = text.graph.type_of("y").value_or(Type());
      EXPECT_EQ(type.dtype, outputs[0].dtype());
      if (known) {
        ASSERT_TRUE(type.shape);
        EXPECT_EQ(to_string(*type.shape), to_string(to_shape(outputs[0].tensor.sizes())));
      } else if (type.shape) {
        ASSERT_EQ(type.shape->size(), static_cast<size_t>(outputs[0].tensor.dim()));
        for (size_t i = 0; i < type.shape->size(); ++i) {
          const Dim& dim = (*type.shape)[i];
          EXPECT_TRUE(!dim.known() || dim.value == outputs[0].tensor.size(static_cast<int64_t>(i)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace mc
