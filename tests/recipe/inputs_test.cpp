#include "mc/recipe/inputs.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/models/models.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/preprocess.h"
#include "tests/base/error_of.h"
#include "tests/recipe/tiny_data.h"

namespace mc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Inputs : public testing::Test {
 protected:
  Inputs() : folder_() { write_tiny_data(folder_ / "data"); }

  std::string complaint(const std::string& text) {
    return error_of([&] { open_inputs(parse_recipe(text, "r.yaml")); });
  }
  std::string data() const { return fmt::format("data: {{root: {}}}\n", (folder_ / "data").string()); }
  std::string save(const Model& model, const std::string& name) const {
    write_onnx(model, folder_ / name);
    return (folder_ / name).string();
  }

  TemporaryFolder folder_;
};

TEST_F(Inputs, AreOpenedAndMeasured) {
  RunInputs inputs = open_inputs(parse_recipe(data() + "model: {builtin: mlp}", "r.yaml"));
  EXPECT_EQ(inputs.student.train->size(), 512);
  EXPECT_EQ(inputs.student.test->size(), 128);
  // One row in eight is 120 levels brighter than the others' 60 to 119.
  ASSERT_EQ(inputs.normalization.mean.size(), 1u);
  EXPECT_NEAR(inputs.normalization.mean[0], (89.5 + 120.0 / 8) / 255, 0.002);
  EXPECT_EQ(preprocess_of(inputs.student.model).mean, inputs.normalization.mean);
}

TEST_F(Inputs, MissingOrBrokenData) {
  EXPECT_THAT(complaint("data: {root: /nowhere}\nmodel: {builtin: mlp}"),
              AllOf(HasSubstr("r.yaml: line 1, column 7: data: "), HasSubstr("/nowhere")));
  std::filesystem::resize_file(folder_ / "data" / "t10k-images-idx3-ubyte", 100);
  EXPECT_THAT(complaint(data() + "model: {builtin: mlp}"), HasSubstr("t10k-images-idx3-ubyte"));
}

TEST_F(Inputs, MissingOrBrokenModels) {
  EXPECT_THAT(complaint(data() + "model: {onnx: /nowhere/m.onnx}"),
              AllOf(HasSubstr("line 2, column 8: model: "), HasSubstr("/nowhere/m.onnx")));
  std::ofstream(folder_ / "text.onnx") << "this is no model";
  EXPECT_THAT(complaint(data() + fmt::format("model: {{onnx: {}}}", (folder_ / "text.onnx").string())),
              HasSubstr("text.onnx"));
}

TEST_F(Inputs, UnsupportedOperatorsAreNamed) {
  Model model = build_model("mlp", {.input_shape = {1, 8, 8}, .classes = 10, .width = 1, .seed = 0});
  model.set_opset("com.example", 1);
  Node& last = model.graph.nodes.back();
  last.op_type = "Mystery";
  last.domain = "com.example";
  EXPECT_THAT(complaint(data() + fmt::format("model: {{onnx: {}}}", save(model, "m.onnx"))),
              AllOf(HasSubstr("com.example.Mystery"), HasSubstr(last.name), HasSubstr("Export")));
}

TEST_F(Inputs, AModelOfAnotherShape) {
  Model model = build_model("mlp", {.input_shape = {1, 9, 9}, .classes = 10, .width = 1, .seed = 0});
  EXPECT_THAT(complaint(data() + fmt::format("model: {{onnx: {}}}", save(model, "m.onnx"))),
              HasSubstr("line 2, column 8: model: "));
  model = build_model("mlp", {.input_shape = {1, 8, 8}, .classes = 3, .width = 1, .seed = 0});
  EXPECT_THAT(complaint(data() + fmt::format("model: {{onnx: {}}}", save(model, "m.onnx"))),
              HasSubstr("the model's output tells only 3 classes apart"));
}

TEST_F(Inputs, FieldsMustExist) {
  Model model = build_model("mlp", {.input_shape = {1, 8, 8}, .classes = 10, .width = 1, .seed = 0});
  const std::string file = save(model, "m.onnx");
  EXPECT_EQ(complaint(data() + fmt::format("model: {{onnx: {}, inputs: {{image: input}}}}", file)), "");
  EXPECT_THAT(complaint(data() + fmt::format("model: {{onnx: {}, inputs: {{imgae: input}}}}", file)),
              HasSubstr("did you mean 'image'?"));
  EXPECT_THAT(complaint(data() + fmt::format("model: {{onnx: {}, inputs: {{image: inptu}}}}", file)),
              HasSubstr("did you mean 'input'?"));
}

TEST_F(Inputs, PatternsAndSizesOfStages) {
  EXPECT_THAT(complaint(data() + "model: {builtin: mlp}\nstages: [{name: q, quantize: {keep_float: conv9}}]"),
              AllOf(HasSubstr("line 3, column 30: stages[0].quantize: "), HasSubstr("conv9")));
  EXPECT_THAT(complaint(data() + "model: {builtin: mlp}\nstages: [{name: q, batch_size: 1000}]"),
              HasSubstr("line 3, column 32: stages[0].batch_size: is 1000, but there are only 512"));
}

}  // namespace
}  // namespace mc
