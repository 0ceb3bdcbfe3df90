#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "tests/graph/everything.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TextTest, PrintAndParseAreInverse) {
  const Model model = parse_model(kEverything);
  const std::string printed = print(model, /*full=*/true);
  const Model again = parse_model(printed);
  EXPECT_EQ(print(again, true), printed);
  EXPECT_TRUE(again == model);
}

TEST(TextTest, EverythingIsWhereItBelongs) {
  const Model model = parse_model(kEverything);
  EXPECT_EQ(model.producer_name, "p \"q\" \\");
  EXPECT_EQ(model.doc, "two\nlines");
  EXPECT_EQ(model.unknown_fields, std::string("\xa2\x06\x01\xff", 4));
  const Graph& graph = model.graph;
  EXPECT_EQ(graph.name, "main graph");
  ASSERT_EQ(graph.quantization_annotations.size(), 2u);
  EXPECT_EQ(graph.quantization_annotations[0].entries[0].second, "s");
  EXPECT_EQ(graph.inputs[0].type.denotation, "IMAGE");
  EXPECT_EQ(graph.inputs[0].doc, "in");
  EXPECT_EQ(graph.inputs[6].type.kind, Type::Kind::kUnknown);
  EXPECT_EQ((*graph.outputs[0].type.shape)[0].denotation, "DATA_BATCH");
  EXPECT_EQ((*graph.outputs[0].type.shape)[0].symbol, "N*2");
  EXPECT_THAT(graph.initializer("i4")->tensor.as_ints(), ElementsAre(-8, 7, 1));
  EXPECT_THAT(graph.initializer("half")->tensor.as_doubles(), ElementsAre(1.0, 1.0));
  EXPECT_EQ(graph.initializer("w")->tensor.metadata[0].second, "weight");
  EXPECT_TRUE(graph.initializer("spi")->sparse);
  EXPECT_THAT(graph.initializer("spi")->sparse_value.indices.as_ints(), ElementsAre(0, 4));
  const Node& node = graph.nodes[1];
  EXPECT_EQ(node.name, "n/2");
  EXPECT_THAT(node.outputs, ElementsAre("y", "", "out/1"));
  EXPECT_THAT(node.inputs, ElementsAre("h", "", "x"));
  EXPECT_EQ(node.domain, "com.acme");
  EXPECT_EQ(node.overload, "over");
  EXPECT_EQ(node.metadata[0].first, "mc.sources");
  EXPECT_EQ(node.find("t")->tensor_name, "nm");
  EXPECT_EQ(node.find("doc")->doc, "d");
  EXPECT_EQ(node.find("ts")->kind, Attribute::Kind::kTensors);
  EXPECT_EQ(graph.nodes[3].domain, "my funcs");
  ASSERT_EQ(model.functions.size(), 1u);
  EXPECT_THAT(model.functions[0].attributes, ElementsAre("alpha"));
  EXPECT_EQ(model.functions[0].attribute_defaults[0].name, "beta");
  EXPECT_EQ(model.functions[0].nodes[0].attributes[0].ref, "alpha");
  EXPECT_EQ(model.functions[0].metadata[0].second, "y");
}

TEST(TextTest, OmittedOperandsFollowOnnx) {
  const Model model =
      parse_model("g (float x) => (float x) { a = Op() b = Op(,x) c = Op(\"\") d = Op(,) e = Op(x,) }");
  EXPECT_EQ(model.graph.nodes[0].inputs.size(), 0u);
  EXPECT_THAT(model.graph.nodes[1].inputs, ElementsAre("", "x"));
  EXPECT_THAT(model.graph.nodes[2].inputs, ElementsAre(""));
  EXPECT_THAT(model.graph.nodes[3].inputs, ElementsAre(""));
  EXPECT_THAT(model.graph.nodes[4].inputs, ElementsAre("x"));
}

TEST(TextTest, ScalarsAndUnknownRanksDiffer) {
  const Model model = parse_model("g (float x, float[] y) => (float x) { }");
  EXPECT_EQ(model.graph.inputs[0].type.shape->size(), 0u);
  EXPECT_FALSE(model.graph.inputs[1].type.shape.has_value());
  EXPECT_EQ(to_string(model.graph.inputs[1].type), "float[]");
}

TEST(TextTest, LongTensorsPrintAsDigestsAndParseAsZeros) {
  Model model = parse_model("g () => (float[100] w) { }");
  const std::vector<float> values(100, 1.5f);
  model.graph.add_initializer("w", Tensor::floats({100}, values));
  const std::string brief = print(model);
  EXPECT_THAT(brief, HasSubstr("\"bytes\": \"400\""));
  const Model zeros = parse_model(brief);
  EXPECT_EQ(zeros.graph.initializer("w")->tensor.as_doubles()[99], 0.0);
  EXPECT_FALSE(zeros == model);
  EXPECT_TRUE(parse_model(print(model, true)) == model);
}

struct BadText {
  const char* text;
  const char* message;
};

class BadTextTest : public ::testing::TestWithParam<BadText> {};

TEST_P(BadTextTest, SaysWhatAndWhere) {
  try {
    parse_model(GetParam().text);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTextTest,
    ::testing::Values(BadText{"",
                              "line 1, column 1: expected the name of a graph, found the end of the text"},
                      BadText{"<ir_versoin: 3> g () => () {}",
                              "column 2: unknown key 'ir_versoin' (did you mean 'ir_version'?)"},
                      BadText{"g () = () {}", "expected '=>'"},
                      BadText{"g (flaot[2] x) => () {}", "column 9: expected ')'"},
                      BadText{"g () => ()\n{ y = Relu(x }",
                              "line 2, column 14: expected ')' after a node's inputs, found '}'"},
                      BadText{"g () => () { y = Relu(x)", "found the end of the text"},
                      BadText{"g () => () <float[2] w = {1}> {}", "1 elements where its type has 2"},
                      BadText{"g () => () <float[2] w = {1,2,3}> {}", "more than the 2 elements"},
                      BadText{"g () => () <int8[1] w = {128}> {}", "128 is outside the range of int8"},
                      BadText{"g () => () <float[N] w = {1}> {}", "dimensions of a constant are numbers"},
                      BadText{"g () => () <float w = {1}, float w = {1}> {}", "a second constant named 'w'"},
                      BadText{"g () => () <float[9999999999,9999999999] w = {1}> {}", "does not fit"},
                      BadText{"g () => () { y = Op<a: int = 1.5>(x) }",
                              "expected a value of kind int, this is one of kind float"},
                      BadText{"g () => () { y = Op<a = []>(x) }", "an empty list needs its kind"},
                      BadText{"g () => () { y = Op<a = [1, 2.5]>(x) }", "expected a value of kind int"},
                      BadText{"g () => () { y = Op<a: wrong = 1>(x) }", "'wrong' is no kind of attribute"},
                      BadText{"g () => () { y = Op<a = \"open>(x) }", "no counterpart"},
                      BadText{"g () => () { y = Op<a = 99999999999999999999>(x) }", "no integer of 64 bits"},
                      BadText{"g () => () { y = Op<a = nan(0x12)>(x) }", "no number of 32 bits"}));

TEST(TextTest, DeepNestingIsRefused) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "g () => () { y = If(c) <b: graph = ";
  EXPECT_THROW(parse_model(text), Error);
  std::string types = "g (";
  for (int i = 0; i < 100000; ++i) types += "seq(";
  EXPECT_THROW(parse_model(types), Error);
}

}  // namespace
}  // namespace mc
