#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/module/graph_module.h"
#include "mc/ops/sequence.h"
#include "tests/base/error_of.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

TEST(ForwardSlots, PassesSequencesInAndOut) {
  GraphModule module(parse_model(R"(<ir_version: 10, opset_import: ["": 17]>
      g (seq(float[2]) s, int64 i, float[2] x) => (float[2] at, seq(float[2]) longer) {
        at = SequenceAt (s, i)
        longer = SequenceInsert (s, x) })"));
  const at::Tensor a = at::ones({2}), b = at::full({2}, 2.0), c = at::full({2}, 3.0);
  const auto outputs =
      module.forward_slots({sequence_slot({a, b}), Slot(at::scalar_tensor(1, at::kLong)), Slot(c)});
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_TRUE(at::equal(outputs[0].tensor, b));
  ASSERT_TRUE(is_sequence(outputs[1]));
  ASSERT_EQ(outputs[1].extra->sequence.size(), 3u);
  EXPECT_TRUE(at::equal(outputs[1].extra->sequence[2].tensor, c));
}

TEST(ForwardSlots, NamesWhatIsMissingOrDoesNotFit) {
  GraphModule module(parse_model(
      R"(<ir_version: 10, opset_import: ["": 17]> g (float[2] x) => (float[2] y) { y = Relu (x) })"));
  EXPECT_THAT(error_of([&] { module.forward_slots({}); }), HasSubstr("got 0"));
  EXPECT_THAT(error_of([&] { module.forward_slots({Slot()}); }), HasSubstr("'x' is missing"));
  EXPECT_THAT(error_of([&] { module.forward_slots({Slot(at::ones({3}))}); }), HasSubstr("'x'"));
}

TEST(OnnxTrainingMode, FollowsTheFileInsteadOfEval) {
  Model model = parse_model(R"(<ir_version: 10, opset_import: ["": 17]>
      g (float[8,3] x) => (float[8,3] y)
        <float[3] scale = {1, 1, 1}, float[3] bias = {0, 0, 0}, float[3] mean = {5, 5, 5}, float[3] var = {1, 1, 1}> {
        y, m, v = BatchNormalization <training_mode = 1> (x, scale, bias, mean, var) })");
  GraphModule module(std::move(model));
  module.eval();
  at::manual_seed(0);
  const at::Tensor x = at::randn({8, 3});
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::allclose(module.forward(x), (x - 5) / std::sqrt(1 + 1e-5), 1e-4, 1e-4));
  module.set_onnx_training_mode(true);
  const at::Tensor centred = x - x.mean(0);
  const at::Tensor expected = centred / (centred.square().mean(0) + 1e-5).sqrt();
  EXPECT_TRUE(at::allclose(module.forward(x), expected, 1e-4, 1e-4));
}

}  // namespace
}  // namespace mc
