#include "mc/recipe/recipe.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/options_yaml.h"
#include "mc/recipe/init.h"
#include "tests/base/error_of.h"

namespace mc {
namespace {

using testing::HasSubstr;
using testing::Not;

// The example of docs/design.md.
constexpr const char* kExample = R"(version: 1
name: fashion-mnist
seed: 0
device: cpu
data: {format: idx, root: /usr/share/datasets/fashion-mnist, augment: [flip, crop: 2]}
model: {builtin: resnet8}
loss: cross_entropy
metric: top1
teacher: {builtin: resnet20, train: {epochs: 3}}
stages:
  - {name: train, epochs: 3, optimizer: {sgd: {lr: 0.4}}, schedule: one_cycle, distill: {ce_temperature: 2.0, ce_alpha: 0.5, alpha_student: 0.5}}
  - {name: prune, epochs: 2, prune: {method: unstructured_magnitude, target_sparsity: 0.8}, distill: {}}
  - {name: quantize, epochs: 1, quantize: {mode: qat, target: onnxruntime}, distill: {}}
export: {opset: keep}
deploy: {engines: [onnxruntime, openvino], batch_sizes: [1, 32], require: {accuracy_drop: 0.01, min_snr_db: 30}}
)";

std::string complaint(const std::string& text) {
  return error_of([&] { parse_recipe(text, "r.yaml"); });
}

// A recipe that is fine, with more lines behind it.
std::string fine(const std::string& more) {
  return "data: {root: /d}\nmodel: {builtin: mlp}\n" + more;
}

TEST(Recipe, ReadsTheExample) {
  const Recipe recipe = parse_recipe(kExample, "r.yaml").recipe;
  EXPECT_EQ(recipe.name, "fashion-mnist");
  EXPECT_EQ(recipe.data.augment.size(), 2u);
  EXPECT_EQ(std::get<CropOptions>(recipe.data.augment[1]).padding, 2);
  EXPECT_EQ(recipe.teacher->train->epochs, 3);
  ASSERT_EQ(recipe.stages.size(), 3u);
  EXPECT_EQ(std::get<SgdOptions>(recipe.stages[0].optimizer).lr, 0.4);
  EXPECT_EQ(recipe.stages[1].prune->target_sparsity, 0.8);
  EXPECT_FALSE(recipe.stages[1].quantize);
  EXPECT_TRUE(recipe.stages[2].distill);
  EXPECT_EQ(recipe.deploy.require.min_snr_db, 30);
  EXPECT_EQ(output_folder(recipe), "runs/fashion-mnist");
}

TEST(Recipe, EmptySectionsMeanDefaults) {
  const Recipe recipe = parse_recipe(fine("stages:\ndeploy:\nexport:\n"), "r.yaml").recipe;
  ASSERT_EQ(recipe.stages.size(), 1u);
  EXPECT_EQ(recipe.stages[0].name, "train");
  EXPECT_EQ(recipe.deploy.engines, std::vector<std::string>{"onnxruntime"});
}

TEST(Recipe, ExportsInAnOpsetByNumber) {
  EXPECT_EQ(parse_recipe(fine("export: {opset: 17}"), "r.yaml").recipe.exports.opset, "17");
  EXPECT_THAT(complaint(fine("export: {opset: 6}")), HasSubstr("export.opset"));
  const Json schema = recipe_schema();
  const Json& choices = schema["properties"]["export"]["anyOf"][0]["properties"]["opset"]["enum"];
  EXPECT_NE(std::find(choices.begin(), choices.end(), Json("keep")), choices.end());
  EXPECT_NE(std::find(choices.begin(), choices.end(), Json(17)), choices.end());
}

TEST(Recipe, StagesInheritNothing) {
  const Recipe recipe = parse_recipe(fine("stages: [{name: a, epochs: 7}, {name: b}]"), "r.yaml").recipe;
  EXPECT_EQ(recipe.stages[0].epochs, 7);
  EXPECT_EQ(recipe.stages[1].epochs, StageOptions{}.epochs);
}

TEST(Recipe, OverridesWin) {
  const Recipe recipe =
      parse_recipe(kExample, "r.yaml", {{"stages.prune.epochs", "5"}, {"deploy.engines", "[torch]"}}).recipe;
  EXPECT_EQ(recipe.stages[1].epochs, 5);
  EXPECT_EQ(recipe.deploy.engines, std::vector<std::string>{"torch"});
  const std::string error = error_of([] { parse_recipe(kExample, "r.yaml", {{"stages.0.epohcs", "5"}}); });
  EXPECT_THAT(error, HasSubstr("epochs"));
  EXPECT_THAT(error, HasSubstr("stages[0].epohcs"));
}

TEST(Recipe, AsItRanReadsBackTheSame) {
  const Recipe recipe = parse_recipe(kExample, "r.yaml").recipe;
  const std::string written = options_yaml(recipe);
  EXPECT_EQ(options_yaml(parse_recipe(written, "r.yaml").recipe), written);
}

TEST(Recipe, TemplatesAreRecipes) {
  for (const std::string& name : template_names()) {
    EXPECT_EQ(complaint(recipe_template(name)), "") << name;
  }
  EXPECT_THAT(error_of([] { recipe_template("visoin"); }), HasSubstr("did you mean 'vision'?"));
  EXPECT_THAT(error_of([] { recipe_template("text"); }), HasSubstr("there are: vision"));
}

TEST(Recipe, SchemaDescribesItsKeys) {
  const Json schema = recipe_schema();
  EXPECT_EQ(schema["properties"]["seed"]["type"], "integer");
  EXPECT_TRUE(schema["properties"].contains("export"));
  EXPECT_THAT(schema.dump(), HasSubstr("unstructured_magnitude"));
}

TEST(RecipeErrors, UnknownKeysNameTheNearest) {
  const std::string error =
      complaint("data: {root: /d}\nmodel: {builtin: mlp}\nstages:\n  - name: a\n    epohcs: 3\n");
  EXPECT_EQ(error, "r.yaml: line 5, column 5: stages[0].epohcs: unknown key (did you mean 'epochs'?)");
}

TEST(RecipeErrors, AllAreListedAtOnce) {
  const std::string error = complaint("sed: 1\nmodel: {builtin: resnet9}\nstages: [{name: a, epochs: x}]\n");
  EXPECT_THAT(error, HasSubstr("line 1, column 1: sed: unknown key (did you mean 'seed'?)"));
  EXPECT_THAT(error, HasSubstr("line 2, column 18: model.builtin: must be one of"));
  EXPECT_THAT(error, HasSubstr("(did you mean 'resnet"));
  EXPECT_THAT(error, HasSubstr("line 3, column 28: stages[0].epochs: expected a whole number"));
}

TEST(RecipeErrors, ImpossibleValues) {
  EXPECT_THAT(complaint(fine("stages: [{name: a, prune: {target_sparsity: 1.5}}]")),
              HasSubstr("line 3, column 45: stages[0].prune.target_sparsity: must be in [0, 1), is 1.5"));
  EXPECT_THAT(complaint(fine("version: 2")), HasSubstr("line 3, column 10: version"));
  EXPECT_THAT(complaint(fine("device: gpu")),
              HasSubstr("line 3, column 9: device: must be cpu, cuda or cuda:N"));
  EXPECT_THAT(complaint(fine("deploy: {engines: [onnxruntim]}")), HasSubstr("did you mean 'onnxruntime'?"));
  EXPECT_THAT(complaint(fine("metric: top2")), HasSubstr("did you mean 'top"));
  EXPECT_THAT(complaint(fine("loss: crossentropy")), HasSubstr("did you mean 'cross_entropy'?"));
}

TEST(RecipeErrors, WhatDoesNotFitTogether) {
  EXPECT_THAT(complaint(fine("stages:\n  - {name: a, distill: {}}")),
              HasSubstr("line 4, column 24: stages[0].distill: there is no teacher"));
  EXPECT_THAT(complaint(fine("stages:\n  - {name: a, quantize: {}}\n  - {name: b, quantize: {}}")),
              HasSubstr("line 5, column 25: stages[1].quantize: the model is quantized since stage 'a'"));
  EXPECT_THAT(complaint(fine("stages: [{name: a}, {name: a}]")),
              HasSubstr("stages[1].name: stage 0 is named"));
  EXPECT_THAT(complaint(fine("stages: [{name: a/b}]")), HasSubstr("cannot be a file name"));
  EXPECT_THAT(complaint(fine("stages: [{name: teacher}]")), HasSubstr("choose another name"));
  EXPECT_THAT(complaint(fine("loss: none")), HasSubstr("nothing gives a loss"));
  EXPECT_THAT(complaint(fine("export: {names: {trian: x}}")), HasSubstr("did you mean 'train'?"));
  EXPECT_THAT(complaint(fine("stages: [{name: a}, {name: b}]\nexport: {names: {a: b}}")),
              HasSubstr("would both be written to b.onnx"));
  EXPECT_THAT(complaint(fine("stages: [{name: q, quantize: {}}]\ndeploy: {require: {accuracy_drop: 0.1}}")),
              HasSubstr("line 4, column 35: deploy.require.accuracy_drop"));
}

TEST(RecipeErrors, TheModelAndTheData) {
  EXPECT_THAT(complaint("data: {root: /d}"), HasSubstr("model: give `builtin`"));
  EXPECT_THAT(complaint("data: {root: /d}\nmodel: {builtin: mlp, onnx: a.onnx}"), HasSubstr("has both"));
  EXPECT_THAT(complaint("model: {builtin: mlp}"), HasSubstr("data: `format: idx` needs `root`"));
  EXPECT_THAT(complaint("data: {format: npz, train: a.npz}\nmodel: {builtin: mlp}"),
              HasSubstr("line 1, column 7: data: `format: npz` needs `train` and `test`"));
  EXPECT_THAT(complaint("data: {format: idex, root: /d}\nmodel: {builtin: mlp}"),
              HasSubstr("did you mean 'idx'?"));
}

TEST(RecipeErrors, AMissingFileIsNamed) {
  EXPECT_THAT(error_of([] { load_recipe("/nowhere/r.yaml"); }), HasSubstr("/nowhere/r.yaml"));
}

TEST(RecipeErrors, NothingIsWrongWithTheExample) {
  EXPECT_EQ(complaint(kExample), "");
  EXPECT_THAT(complaint(""), Not(HasSubstr("unknown key")));
}

}  // namespace
}  // namespace mc
