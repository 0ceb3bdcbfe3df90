#include "tests/ops/op_testing.h"

namespace mc {
namespace {

TEST(Costs, CountsByHand) {
  // Conv: 16 filters of 3x3x3 on 8x8 outputs; Gemm: 16 -> 10.
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[1,3,8,8] x) => (float[1,10] y) <float[16,3,3,3] w, float[16] b, float[10,16] v> {
      [conv] c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
      [pool] p = GlobalAveragePool (c)
      [flat] f = Flatten (p)
      [fc] y = Gemm <transB = 1> (f, v)
    })");
  const std::vector<float> zeros(16 * 27);
  const std::span<const float> all(zeros);
  model.graph.value_infos.clear();
  model.graph.set_initializer("w", Tensor::floats({16, 3, 3, 3}, all));
  model.graph.set_initializer("b", Tensor::floats({16}, all.first(16)));
  model.graph.set_initializer("v", Tensor::floats({10, 16}, all.first(160)));
  infer_shapes(model);
  const std::vector<NodeCost> costs = model_costs(model);
  ASSERT_EQ(costs.size(), 4u);
  EXPECT_EQ(costs[0].node, "conv");
  EXPECT_EQ(costs[0].op_type, "Conv");
  EXPECT_EQ(costs[0].macs, 16.0 * 27 * 64);
  EXPECT_EQ(costs[0].parameters, 16 * 27 + 16);
  EXPECT_EQ(costs[0].activation_bytes, 16 * 64 * 4);
  EXPECT_EQ(costs[2].macs, 0);
  EXPECT_EQ(costs[3].macs, 160);
  EXPECT_EQ(costs[3].parameters, 160);
}

TEST(Costs, SharedWeightsCountOnceAndThroughViews) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[2,4] x) => (float[2,4] y) <float[4,4] w = {0,0,0,0, 0,0,0,0, 0,0,0,0, 0,0,0,0}> {
      t = Transpose (w)
      a = MatMul (x, t)
      y = MatMul (a, w)
    })");
  infer_shapes(model);
  double parameters = 0;
  double macs = 0;
  for (const NodeCost& cost : model_costs(model)) {
    parameters += cost.parameters;
    macs += cost.macs;
  }
  EXPECT_EQ(parameters, 16);
  EXPECT_EQ(macs, 2 * 2 * 4 * 4);
}

}  // namespace
}  // namespace mc
