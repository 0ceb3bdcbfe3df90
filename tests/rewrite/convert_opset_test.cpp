#include "mc/rewrite/convert_opset.h"

#include <gmock/gmock.h>

#include "tests/base/error_of.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Model opset_model(int opset, const std::string& signature, const std::string& body, int ir_version = 10) {
  return parse_model(fmt::format("<ir_version: {}, opset_import: [\"\" : {}]> g {} {{ {} }}", ir_version,
                                 opset, signature, body));
}

std::vector<std::string> opset_operators(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.push_back(node.op_type);
  return names;
}

TEST(ConvertOpset, MovesAttributesToInputsAndBack) {
  Model model = opset_model(11, "(float[2,1,3] x) => (float[2,3] y)", "[s] y = Squeeze <axes = [1]> (x)");
  const Model before = model;
  EXPECT_EQ(convert_opset(model, 13), 1);
  EXPECT_EQ(model.opset(), 13);
  ASSERT_THAT(opset_operators(model.graph), ElementsAre("Constant", "Squeeze"));
  EXPECT_EQ(model.graph.nodes[1].inputs[1], model.graph.nodes[0].outputs[0]);
  EXPECT_EQ(model.graph.nodes[1].find("axes"), nullptr);
  EXPECT_EQ(convert_opset(model, 11), 1);
  EXPECT_EQ(print(model, true), print(before, true));
}

TEST(ConvertOpset, LeavesWhatMeansTheSame) {
  Model model = opset_model(7, "(float[2] x) => (float[2] y)", "y = Relu (x)", 3);
  EXPECT_EQ(convert_opset(model, 28), 0);
  EXPECT_EQ(model.opset(), 28);
  EXPECT_EQ(model.ir_version, 14);
  EXPECT_THAT(opset_operators(model.graph), ElementsAre("Relu"));
}

TEST(ConvertOpset, RefusesAllAtOnceAndChangesNothing) {
  Model model = opset_model(20, "(float[2] x) => (float[2] y)",
                            "[a] h = Gelu (x) [b] i = Relu (h) [c] y = Gelu <approximate = \"tanh\"> (i)");
  const Model before = model;
  EXPECT_THAT(
      error_of([&] { convert_opset(model, 17); }),
      AllOf(HasSubstr("opset 17"), HasSubstr("'a' (Gelu)"), HasSubstr("'c' (Gelu)"), Not(HasSubstr("'b'"))));
  EXPECT_TRUE(model == before);
}

TEST(ConvertOpset, KeepsTheNamesOfValues) {
  Model model = opset_model(11, "(float[2,3,4] x) => (float[2,3,4] y)", "[s] y = Softmax <axis = 1> (x)");
  convert_opset(model, 13);
  EXPECT_THAT(opset_operators(model.graph), ElementsAre("Flatten", "Shape", "Softmax", "Reshape"));
  EXPECT_EQ(model.graph.nodes.back().outputs[0], "y");
  EXPECT_EQ(model.graph.nodes[2].name, "s");
}

TEST(ConvertOpset, SeesConstantsOfTheGraphsAround) {
  Model model = opset_model(13, "(bool c, float[1,3] x) => (float[3] y) <int64[1] axes = {0}>",
                            "y = If (c) <then_branch = t () => (float[3] a) { a = Squeeze (x, axes) },"
                            " else_branch = e () => (float[3] b) { b = Squeeze (x, axes) }>");
  convert_opset(model, 12);
  EXPECT_TRUE(model.graph.initializers().empty());
  for (const char* branch : {"then_branch", "else_branch"}) {
    const Graph& graph = *model.graph.nodes[0].find(branch)->graphs().at(0);
    EXPECT_THAT(graph.nodes[0].get_ints("axes"), ElementsAre(0)) << branch;
  }
}

TEST(ConvertOpset, ConvertsFunctionsFromTheirOwnOpset) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 18, "l" : 1]>
      g (float[2,3] x) => (float[2,1] y) { y = l.Mean (x) }
      <domain: "l", opset_import: ["" : 13]> Mean (a) => (b) { b = ReduceMean <axes = [1]> (a) })");
  convert_opset(model, 18);
  EXPECT_EQ(model.functions[0].opset_imports[0].second, 18);
  EXPECT_EQ(model.functions[0].nodes.size(), 2u);
}

TEST(ConvertOpset, RefusesOtherOpsets) {
  Model model = opset_model(13, "(float[2] x) => (float[2] y)", "y = Relu (x)");
  EXPECT_THAT(error_of([&] { convert_opset(model, 6); }), HasSubstr("7 to 28"));
  EXPECT_THAT(error_of([&] { convert_opset(model, 29); }), HasSubstr("7 to 28"));
  Model older = opset_model(6, "(float[2] x) => (float[2] y)", "y = Relu (x)");
  EXPECT_THAT(error_of([&] { convert_opset(older, 13); }), HasSubstr("opset 6"));
}

TEST(ConvertOpset, NamesAttributesOfAnotherKind) {
  Model model = opset_model(10, "(float[2] x) => (float[2] y)", "[c] y = Clip <min = [1, 2]> (x)");
  EXPECT_THAT(error_of([&] { convert_opset(model, 11); }),
              AllOf(HasSubstr("'c' (Clip)"), HasSubstr("'min'")));
}

}  // namespace
}  // namespace mc
