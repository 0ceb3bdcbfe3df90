#include "mc/graph/graph.h"

#include <gmock/gmock.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kModelHead = "<ir_version: 10, opset_import: [\"\" : 17]> ";

Model text(const std::string& body) {
  return parse_model(kModelHead + body);
}

std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.push_back(node.name);
  return names;
}

// A branch reads `hidden`, which the outer graph makes.
Model with_branch() {
  return text(R"(g (float[2] x, bool c) => (float[2] y) {
    [a] hidden = Relu(x)
    [b] y = If(c) <then_branch: graph = t () => (float[2] r) { r = Neg(hidden) },
                   else_branch: graph = e () => (float[2] r) { hidden = Abs(x) r = Neg(hidden) }>
  })");
}

TEST(NodeTest, AttributesHaveDefaultsAndKinds) {
  Model model =
      text("g (float x) => (float y) { [n] y = Op<a = 3, b = 2.5, s = \"t\", l = [1, 2], f = [1.5]>(x) }");
  Node& node = model.graph.nodes[0];
  EXPECT_EQ(node.get_int("a", 0), 3);
  EXPECT_EQ(node.get_int("absent", 7), 7);
  EXPECT_EQ(node.get_float("b", 0), 2.5f);
  EXPECT_EQ(node.get_string("s", ""), "t");
  EXPECT_THAT(node.get_ints("l"), ElementsAre(1, 2));
  EXPECT_THAT(node.get_floats("f"), ElementsAre(1.5f));
  EXPECT_EQ(node.get_tensor("absent"), nullptr);
  try {
    node.get_int("s", 0);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("node 'n' (Op): attribute 's' must be an int, it is string"));
  }
  node.set({"a", 4});
  EXPECT_EQ(node.get_int("a", 0), 4);
  node.erase("a");
  EXPECT_EQ(node.find("a"), nullptr);
}

TEST(NodeTest, LabelFallsBackToTheOutput) {
  const Model model = text("g (float x) => (float y) { y = com.acme.Op(x) }");
  EXPECT_EQ(model.graph.nodes[0].label(), "node 'y' (com.acme.Op)");
}

TEST(GraphTest, CopiesShareBytesButNotStructure) {
  Model model = with_branch();
  model.graph.add_initializer("w", Tensor::scalar(1));
  Model copy = model;
  copy.graph.nodes[1].attributes[0].graphs()[0]->nodes[0].op_type = "Exp";
  EXPECT_EQ(model.graph.nodes[1].attributes[0].graphs()[0]->nodes[0].op_type, "Neg");
  EXPECT_EQ(copy.graph.initializer("w")->tensor.data.bytes().data(),
            model.graph.initializer("w")->tensor.data.bytes().data());
}

TEST(GraphTest, InitializersAreFoundByNameAfterErasing) {
  Graph graph;
  for (const char* name : {"a", "b", "c"}) graph.add_initializer(name, Tensor::scalar(1));
  EXPECT_THROW(graph.add_initializer("b", Tensor::scalar(2)), Error);
  graph.erase_initializer("a");
  graph.set_initializer("c", Tensor::scalar(5));
  EXPECT_EQ(graph.initializer("a"), nullptr);
  ASSERT_NE(graph.initializer("c"), nullptr);
  EXPECT_EQ(graph.initializer("c")->tensor.as_doubles()[0], 5.0);
  EXPECT_EQ(graph.initializers().size(), 2u);
}

TEST(GraphTest, TypesComeFromDeclarationsAndConstants) {
  Model model = text("g (float[N] x) => (float[N] y) <int64[2] w = {1, 2}> { h = Op(x, w) y = Relu(h) }");
  EXPECT_EQ(to_string(*model.graph.type_of("w")), "int64[2]");
  EXPECT_EQ(to_string(*model.graph.type_of("x")), "float[N]");
  EXPECT_FALSE(model.graph.type_of("h").has_value());
  model.graph.set_type("h", Type::tensor(DType::kFloat, Shape{Dim("N")}));
  EXPECT_EQ(to_string(*model.graph.type_of("h")), "float[N]");
  model.graph.set_type("y", Type::tensor(DType::kFloat16));
  EXPECT_EQ(to_string(model.graph.outputs[0].type), "float16[]");
}

TEST(GraphTest, InputsWithDefaultsNeedNotBeFed) {
  const Model model = text("g (float x, float w = {2}) => (float y) { y = Mul(x, w) }");
  ASSERT_EQ(model.graph.real_inputs().size(), 1u);
  EXPECT_EQ(model.graph.real_inputs()[0]->name, "x");
}

TEST(GraphTest, ReplaceUsesReachesSubgraphsThatDoNotShadow) {
  Model model = with_branch();
  model.graph.replace_uses("hidden", "x");
  const Node& branch = model.graph.nodes[1];
  EXPECT_EQ(branch.attributes[0].graphs()[0]->nodes[0].inputs[0], "x");
  EXPECT_EQ(branch.attributes[1].graphs()[0]->nodes[1].inputs[0], "hidden");
}

TEST(GraphTest, CapturesAreWhatASubgraphReadsFromOutside) {
  const Model model = with_branch();
  EXPECT_THAT(reads(model.graph.nodes[1]), ElementsAre("c", "hidden", "x"));
  const Uses uses(model.graph);
  ASSERT_EQ(uses.consumers("hidden").size(), 1u);
  EXPECT_EQ(uses.consumers("hidden")[0].node, 1u);
  EXPECT_EQ(uses.consumers("hidden")[0].input, Uses::npos);
  EXPECT_EQ(uses.producer("hidden"), 0u);
  EXPECT_FALSE(uses.producer("x").has_value());
  EXPECT_TRUE(uses.is_output("y"));
  EXPECT_TRUE(uses.consumers("nothing").empty());
}

TEST(GraphTest, UniqueNamesAvoidSubgraphs) {
  const Model model = with_branch();
  EXPECT_EQ(model.graph.unique_value_name("new"), "new");
  EXPECT_EQ(model.graph.unique_value_name("r"), "r_1");
  EXPECT_EQ(model.graph.unique_node_name("a"), "a_1");
}

TEST(GraphTest, SortMovesOnlyWhatMust) {
  Model model = text(R"(g (float[2] x, bool c) => (float[2] y) {
    [late] y = If(c) <then_branch: graph = t () => (float[2] r) { r = Neg(h) },
                      else_branch: graph = e () => (float[2] r) { r = Abs(q) q = Abs(x) }>
    [first] p = Relu(x)
    [second] h = Relu(p)
    [third] z = Relu(x)
  })");
  model.graph.sort();
  EXPECT_THAT(node_names(model.graph), ElementsAre("first", "second", "late", "third"));
  EXPECT_EQ(model.graph.nodes[2].attributes[1].graphs()[0]->nodes[0].outputs[0], "q");
  verify(model);
}

TEST(GraphTest, SortNamesANodeOnACycle) {
  Model model =
      text("g (float x) => (float y) { y = Relu(x) [a] p = Add(x, q) [b] q = Relu(p) [c] r = Relu(q) }");
  try {
    model.graph.sort();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::ContainsRegex("node '[ab]' .* is on a cycle"));
  }
}

TEST(GraphTest, DropUnusedKeepsMasksOfKeptParameters) {
  Model model = text(R"(g (float[2] x, float[2] spare = {1, 2}) => (float[2] y) <
      float[2] unused_value,
      float[2] w = {1, 2}, float[2] dead = {1, 2},
      float[2] w_mask = {1, 0} @<metadata_props: ["mc.mask_of": "w"]>,
      float[2] dead_mask = {1, 0} @<metadata_props: ["mc.mask_of": "dead"]>> {
    y = Mul(x, w)
    unused = Mul(x, dead)
  })");
  EXPECT_EQ(model.graph.drop_unused(), 5);  // three initializers, a node, a value info
  EXPECT_NE(model.graph.initializer("w"), nullptr);
  EXPECT_NE(model.graph.initializer("w_mask"), nullptr);
  EXPECT_EQ(model.graph.initializer("dead"), nullptr);
  EXPECT_EQ(model.graph.initializer("dead_mask"), nullptr);
  EXPECT_EQ(model.graph.inputs.size(), 1u);
  EXPECT_EQ(model.graph.nodes.size(), 1u);
  EXPECT_EQ(model.graph.drop_unused(), 0);
}

TEST(GraphTest, DropUnusedKeepsWhatSubgraphsRead) {
  Model model = with_branch();
  EXPECT_EQ(model.graph.drop_unused(), 0);
  EXPECT_EQ(model.graph.nodes.size(), 2u);
}

TEST(ModelTest, OpsetsOfTheDefaultDomainHaveTwoNames) {
  Model model;
  model.set_opset("ai.onnx", 17);
  EXPECT_EQ(model.opset(), 17);
  model.set_opset("", 18);
  EXPECT_EQ(model.opset_imports.size(), 1u);
  EXPECT_EQ(model.opset("ai.onnx"), 18);
  EXPECT_EQ(model.opset("mc"), 0);
}

}  // namespace
}  // namespace mc
