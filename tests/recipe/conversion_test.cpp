#include "mc/recipe/conversion.h"

#include <map>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/deploy/engine.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/run.h"
#include "tests/base/error_of.h"
#include "tests/recipe/tiny_data.h"

namespace mc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Conversion : public testing::Test {
 protected:
  Conversion() { write_tiny_data(folder_ / "data"); }

  std::string text(const std::string& conversions) const {
    const char* engine = find_engine("onnxruntime").available() ? "onnxruntime" : "torch";
    return fmt::format(R"(
data: {{root: {}}}
model: {{builtin: mlp, width: 0.25}}
stages:
  - {{name: train, batch_size: 32, optimizer: {{sgd: {{lr: 0.05}}}}}}
  - {{name: int8, batch_size: 32, optimizer: {{sgd: {{lr: 0.01}}}}, quantize: {{}}}}
export: {{convert: {}}}
deploy: {{engines: [{}], seconds: 0, require: {{min_agreement: 0.9}}}}
)",
                       (folder_ / "data").string(), conversions, engine);
  }
  std::string complaint(const std::string& conversions) const {
    return error_of([&] { check_run(parse_recipe(text(conversions), "r.yaml"), folder_ / "out"); });
  }

  TemporaryFolder folder_;
};

std::map<std::string, int> operators_of(const std::filesystem::path& file) {
  std::map<std::string, int> counts;
  for (const Node& node : read_onnx(file).graph.nodes) ++counts[node.op_type];
  return counts;
}

TEST_F(Conversion, EveryModeBecomesAMeasuredFile) {
  const Json results = run_recipe(
      parse_recipe(text("[{name: w4, stage: train, mode: {weights: hqq}}, "
                        "{name: w8, stage: train, mode: {weights: {method: gptq, bits: 8, samples: 64}}}, "
                        "{name: dyn, stage: train, mode: dynamic}, {name: half, stage: train, mode: fp16}, "
                        "{name: brain, stage: train, mode: bf16}, "
                        "{name: f8, stage: train, mode: {float8: {calibrator: percentile}}}]"),
                   "r.yaml"),
      folder_ / "out", false);
  std::vector<std::string> names;
  for (const Json& model : results["models"]) names.push_back(model["name"]);
  EXPECT_THAT(names, testing::ElementsAre("train", "w4", "w8", "dyn", "half", "brain", "f8", "int8"));
  const std::filesystem::path models = folder_ / "out/models";
  EXPECT_GT(operators_of(models / "w4.onnx")["MatMulNBits"], 0);
  EXPECT_GT(operators_of(models / "w8.onnx")["MatMulNBits"], 0);
  EXPECT_GT(operators_of(models / "dyn.onnx")["MatMulInteger"], 0);
  EXPECT_GT(operators_of(models / "f8.onnx")["QuantizeLinear"], 0);
  EXPECT_LT(results["models"][4]["file_bytes"].get<double>(),
            0.7 * results["models"][0]["file_bytes"].get<double>());
  for (const Json& row : results["evaluations"]) EXPECT_GE(row["value"].get<double>(), 0.9) << row.dump();
  if (find_engine("onnxruntime").available()) {
    std::set<std::string> ours;  // what ONNX Runtime does not run, and what that is compared with
    for (const Json& row : results["evaluations"]) {
      if (row["engine"] == "torch") ours.insert(row["model"]);
    }
    EXPECT_THAT(ours, testing::UnorderedElementsAre("train", "brain", "f8"));
  }
  std::set<std::string> compared;
  for (const Json& pair : results["comparisons"]) {
    if (pair["kind"] != "original") continue;
    compared.insert(pair["other"]);
    EXPECT_EQ(pair["reference"], "train");
  }
  EXPECT_THAT(compared, testing::UnorderedElementsAre("w4", "w8", "dyn", "half", "brain", "f8", "int8"));
  std::set<std::string> listed;
  for (const Json& layer : results["quantized_layers"]) listed.insert(layer["model"]);
  EXPECT_THAT(listed, testing::IsSupersetOf({"w4", "dyn", "int8"}));
}

TEST_F(Conversion, TheLastModelMayBeOne) {
  const Overrides only = {{"stages", "[{name: train, batch_size: 32}]"}};
  const Json results =
      run_recipe(parse_recipe(text("{name: w8, stage: train, mode: {weights: {bits: 8}}}"), "r.yaml", only),
                 folder_ / "out", false);
  EXPECT_EQ(results["models"].back()["name"], "w8");
  ASSERT_EQ(results["checks"].size(), 1u);
  EXPECT_THAT(results["checks"][0]["name"].get<std::string>(), HasSubstr("w8 (simulated)"));
  EXPECT_TRUE(results["passed"]);
}

TEST_F(Conversion, OfTheNetworkAsItCame) {
  run_recipe(parse_recipe(text("[]"), "r.yaml", {{"stages", "[{name: train, batch_size: 32}]"}}),
             folder_ / "first", false);
  const Overrides given = {
      {"stages", "[]"},
      {"model", fmt::format("{{onnx: {}}}", (folder_ / "first/models/train.onnx").string())}};
  const Json results =
      run_recipe(parse_recipe(text("{name: half, stage: original, mode: fp16}"), "r.yaml", given),
                 folder_ / "second", false);
  EXPECT_EQ(results["models"].back()["name"], "half");
}

TEST_F(Conversion, WhatCannotBeIsSaidAtItsPlace) {
  EXPECT_EQ(complaint("{name: a, stage: train, mode: fp16}"), "");
  EXPECT_THAT(complaint("{name: a, stage: trian, mode: fp16}"),
              AllOf(HasSubstr("export.convert[0].stage"), HasSubstr("did you mean 'train'?")));
  EXPECT_THAT(complaint("{name: a, stage: int8, mode: fp16}"),
              HasSubstr("the network of 'int8' is quantized"));
  EXPECT_THAT(complaint("{name: a, stage: original, mode: fp16}"), HasSubstr("as it came is exported only"));
  EXPECT_THAT(complaint("{name: int8, stage: train, mode: fp16}"), HasSubstr("int8.onnx is written already"));
  EXPECT_THAT(complaint("{name: a/b, stage: train, mode: fp16}"), HasSubstr("cannot be a file name"));
  EXPECT_THAT(complaint("{name: a, stage: train, mode: fp61}"), HasSubstr("fp16"));
  EXPECT_THAT(complaint("{name: a, stage: train}"), HasSubstr("mode"));
  EXPECT_THAT(complaint("{name: a, stage: train, mode: {weights: {bits: 6}}}"),
              HasSubstr("weights of 6 bits are not supported"));
  EXPECT_THAT(complaint("{name: a, stage: train, mode: {weights: {block: 48}}}"), HasSubstr("block of 48"));
  EXPECT_THAT(complaint("{name: a, stage: train, mode: {weights: {methd: rtn}}}"),
              HasSubstr("did you mean 'method'?"));
  EXPECT_THAT(complaint("{name: a, stage: train, mode: {float8: {calibrator: entropy}}}"),
              HasSubstr("one of min_max, moving_average, percentile"));
  EXPECT_THAT(complaint("{name: a, stage: train, mode: dynamic, keep_float: [nothing]}"),
              AllOf(HasSubstr("export.convert"), HasSubstr("nothing")));
}

}  // namespace
}  // namespace mc
