#include "mc/recipe/imported.h"

#include <gtest/gtest.h>

namespace mc {
namespace {

TEST(TidyImport, FollowsTheBatchThroughReshapes) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 17]>
g (float[2,3,4] x) => (float[2,12] y) <int64[2] flat = {2, 12}, int64[3] split = {2, 3, -1}> {
  a = Reshape(x, split)
  y = Reshape(a, flat)
})");
  EXPECT_EQ(tidy_import(model), 2);
  verify(model);
  EXPECT_EQ(to_string(model.graph.inputs[0].type), "float[batch,3,4]");
  EXPECT_EQ(to_string(model.graph.outputs[0].type), "float[batch,12]");
  const Graph& graph = model.graph;
  EXPECT_EQ(graph.initializer(graph.nodes[0].inputs[1])->tensor.as_ints(), (std::vector<int64_t>{0, 3, -1}));
  EXPECT_EQ(graph.initializer(graph.nodes[1].inputs[1])->tensor.as_ints(), (std::vector<int64_t>{-1, 12}));
}

TEST(TidyImport, LeavesConstantsAndOtherShapesAlone) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 17]>
g (float[1,3,4] x) => (float[1,3,4] y) <float[3] w = {1, 2, 3}, int64[3] s = {1, 3, 1}> {
  b = Reshape(w, s)
  y = Add(x, b)
})");
  EXPECT_EQ(tidy_import(model), 1);
  EXPECT_EQ(to_string(model.graph.inputs[0].type), "float[batch,3,4]");
  EXPECT_EQ(model.graph.initializer("s")->tensor.as_ints(), (std::vector<int64_t>{1, 3, 1}));
}

TEST(TidyImport, LeavesAFreeBatchAlone) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 17]>
g (float[N,4] x) => (float[N,4] y) { y = Relu(x) })");
  EXPECT_EQ(tidy_import(model), -1);
  EXPECT_EQ(to_string(model.graph.inputs[0].type), "float[N,4]");
}

// What torch.onnx.export(..., optimize=False) makes of a convolution without bias.
TEST(TidyImport, RemovesABiasOfComputedZeros) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 17]>
g (float[2,1,4,4] x) => (float[2,1,2,2] y) <float[1,1,3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
  channels = Shape <start: int = 0, end: int = 1> (w)
  zero = Constant <value: tensor = float {0}> ()
  like = CastLike(zero, x)
  bias = Expand(like, channels)
  y = Conv(x, w, bias)
})");
  EXPECT_EQ(tidy_import(model), 2);
  verify(model);
  ASSERT_EQ(model.graph.nodes.size(), 1u);
  EXPECT_EQ(model.graph.nodes[0].inputs, (std::vector<std::string>{"x", "w"}));
}

}  // namespace
}  // namespace mc
