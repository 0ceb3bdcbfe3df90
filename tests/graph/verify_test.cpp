#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

struct Broken {
  const char* text;
  const char* message;
};

constexpr const char* kHead = "<ir_version: 10, opset_import: [\"\" : 17]> ";

void expect_error(const Model& model, const std::string& message) {
  try {
    verify(model);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(VerifyTest, AcceptsASoundModel) {
  EXPECT_NO_THROW(
      verify(parse_model(std::string(kHead) + R"(g (float[2] x, bool c, float[2] w = {1, 2}) => (float[2] y) {
    h = Mul(x, w)
    y = If(c) <then_branch: graph = t () => (float[2] r) { r = Neg(h) },
               else_branch: graph = e () => (float[2] r) { r = Abs(h) }>
  })")));
}

class BrokenTest : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenTest, NamesThePlace) {
  expect_error(parse_model(std::string(kHead) + GetParam().text), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenTest,
    ::testing::Values(
        Broken{"g (float x) => (float y) { [n] y = Relu(z) }",
               "graph 'g': node 'n' (Relu): its input 'z' is made by no node, input or initializer"},
        Broken{"g (float x) => (float y) { }", "graph 'g': output 'y' is made by no node"},
        Broken{"g (float x, float x) => (float x) { }", "input 'x' has the name of another value"},
        Broken{"g (float x) => (float y) { y = Relu(x) y = Neg(x) }",
               "output 'y' has the name of another value"},
        Broken{"g (float x) => (float y) { [a] y = Relu(h) [b] h = Neg(x) }",
               "node 'a' (Relu): it uses 'h' before node 'b' (Neg) makes it"},
        Broken{"g (float x) => (float y) { [a] y = Add(h, x) [b] h = Neg(y) }", "is on a cycle"},
        Broken{"g (float x) => (float y) { y = acme.Op(x) }", "imports no opset of its domain 'acme'"},
        Broken{"g (float x) => (float y) { y = Op<a = 1, a = 2>(x) }", "two attributes are named 'a'"},
        Broken{"g (float x) => (float y) { y = Op<a: int = @b>(x) }",
               "refers to attribute 'b' of a function"},
        Broken{"g (float x) => (float y) { y = Op<a: undefined = []>(x) }", "attribute 'a': it has no value"},
        Broken{"g (float x) => (float y) { y = If(x) <t: graph = t () => (float r) { r = Neg(nowhere) }> }",
               "its input 'nowhere' is made by no node"},
        Broken{"g (float x) => (float y) { y = If(x) <t: graph = t () => (float r) { r = Neg(late) }> late = "
               "Neg(x) }",
               "it uses 'late' before node 'late' (Neg) makes it"},
        Broken{"g (float x) => (float y) { y = Relu(x) } <domain: \"f\", opset_import: [\"\": 17]> F (a) => "
               "(b) { }",
               "function 'F': output 'b' is made by no node"},
        Broken{"g (float x) => (float y) { y = Relu(x) } <domain: \"f\", opset_import: [\"f\": 1]> "
               "F (a) => (b) { b = f.G(a) } <domain: \"f\", opset_import: [\"f\": 1]> G (a) => (b) { b = "
               "f.F(a) }",
               "calls itself"}));

TEST(VerifyTest, TensorsMustHoldTheirBytes) {
  Model model = parse_model(std::string(kHead) + "g () => (float[10,10] w) { }");
  const std::vector<float> three(3);
  model.graph.add_initializer("w", Tensor::floats({10, 10}, three));
  expect_error(model, "graph 'g': initializer 'w': needs 400 bytes for float[10,10], has 12");
}

TEST(VerifyTest, OpsetsAreImportedOnce) {
  Model model = parse_model("<opset_import: [\"\": 17, \"ai.onnx\": 18]> g (float x) => (float x) { }");
  expect_error(model, "imported twice");
}

TEST(VerifyTest, AttributeValuesAreOfTheirKind) {
  Model model = parse_model(std::string(kHead) + "g (float x) => (float y) { y = Op<a = 1>(x) }");
  model.graph.nodes[0].attributes[0].kind = Attribute::Kind::kFloat;
  expect_error(model, "attribute 'a': its value is not of its kind");
}

}  // namespace
}  // namespace mc
