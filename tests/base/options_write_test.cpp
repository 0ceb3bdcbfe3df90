#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/options_json.h"
#include "mc/base/options_read.h"
#include "mc/base/options_schema.h"
#include "mc/base/options_yaml.h"
#include "tests/base/sample_options.h"

namespace mc::sample {
namespace {

Recipe full_recipe() {
  Recipe recipe;
  recipe.seed = 7;
  recipe.clip = 0.1;
  recipe.augment = {Flip{}, Crop{.padding = 2}};
  recipe.weights = {{"ce", 0.5}};
  recipe.data = config_from_json({{"format", "idx"}, {"limit", 100}});
  recipe.stages.resize(2);
  recipe.stages[0].name = "on";
  recipe.stages[0].prune = Prune{.target_sparsity = 0.8};
  recipe.stages[1].name = "two words";
  recipe.stages[1].optimizer = Adam{.betas = {0.8, 0.9}};
  return recipe;
}

TEST(OptionsJson, DumpsEveryValue) {
  EXPECT_EQ(options_json(full_recipe()), Json::parse(R"({
    "seed": 7, "output": "runs", "clip": 0.1,
    "augment": [{"flip": {}}, {"crop": {"padding": 2, "fill": "zero"}}],
    "weights": {"ce": 0.5}, "data": {"format": "idx", "limit": 100},
    "stages": [
      {"name": "on", "epochs": 1, "optimizer": {"sgd": {"lr": 0.1, "nesterov": false}},
       "prune": {"target_sparsity": 0.8}},
      {"name": "two words", "epochs": 1, "optimizer": {"adam": {"betas": [0.8, 0.9]}}, "prune": false}]})"));
}

TEST(OptionsJson, ReadsBackTheSameValues) {
  Json dump = options_json(full_recipe());
  Recipe back;
  back.clip = 3;  // what the dump says wins over what was there
  read_options(config_from_json(dump), back);
  EXPECT_EQ(options_json(back).dump(), dump.dump());
}

TEST(OptionsJson, NullAndFalseSwitchOffWhatWasOn) {
  Json dump = options_json(Recipe{});
  EXPECT_TRUE(dump["clip"].is_null());
  Recipe back = full_recipe();
  read_options(config_from_json(dump), back);
  EXPECT_FALSE(back.clip);
  EXPECT_TRUE(back.stages.empty());
}

TEST(OptionsYaml, ShowsEveryFieldWithItsHelp) {
  EXPECT_EQ(options_yaml(full_recipe()), R"(# of all random numbers
seed: 7
# folder of the results
output: runs
# largest gradient norm (above 0)
clip: 0.1
# changes to each sample (one of flip, crop)
augment:
  - flip: {}
  - crop:
      # pixels on each side (in [0, 64])
      padding: 2
      # what is outside (one of zero, edge)
      fill: zero
# of the losses (at least 0)
weights:
  ce: 0.5
# where samples come from
data: {format: idx, limit: 100}
# what to do, in order
stages:
  - # what to call it
    name: "on"
    # passes over the data (at least 0)
    epochs: 1
    # how weights move (one of sgd, adam)
    optimizer:
      sgd:
        # peak learning rate (above 0)
        lr: 0.1
        # look ahead
        nesterov: false
    # pruning while it trains
    prune:
      # fraction of zeros at the end (in [0, 1))
      target_sparsity: 0.8
  - # what to call it
    name: "two words"
    # passes over the data (at least 0)
    epochs: 1
    # how weights move (one of sgd, adam)
    optimizer:
      adam:
        # decay of the moments (in [0, 1))
        betas: [0.8, 0.9]
    # pruning while it trains
    # prune:
    #   # fraction of zeros at the end (in [0, 1))
    #   target_sparsity: 0.5
)");
}

TEST(OptionsYaml, IndentsAndShowsEmptyValues) {
  std::string text = options_yaml(Recipe{}, 4);
  EXPECT_THAT(text, testing::StartsWith("    # of all random numbers\n    seed: 0\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n    clip: null\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n    augment: []\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n    weights: {}\n"));
}

TEST(OptionsYaml, QuotesWhatYamlWouldTakeForSomethingElse) {
  for (const char* text :
       {"", "true", "No", "null", "1", "1e3", ".5", "-", "a: b", "a #b", "x\ny", "~", "*a"}) {
    EXPECT_EQ(options_detail::yaml_flow(text), Json(text).dump());
  }
  for (const char* text : {"one_cycle", "/data/x.npz", "layer1.0-conv", "nothing"}) {
    EXPECT_EQ(options_detail::yaml_flow(text), text);
  }
}

TEST(OptionsSchema, DescribesFields) {
  Json schema = options_schema<Sgd>();
  EXPECT_EQ(schema, Json::parse(R"({
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
    "properties": {
      "lr": {"description": "peak learning rate", "type": "number", "exclusiveMinimum": 0, "default": 0.1},
      "nesterov": {"description": "look ahead", "type": "boolean", "default": false}},
    "additionalProperties": false})"));
}

TEST(OptionsSchema, SaysWhatIsRequired) {
  Json schema = options_schema<Stage>();
  EXPECT_EQ(schema["required"], Json::array({"name"}));
  EXPECT_FALSE(schema["properties"]["name"].contains("default"));
  EXPECT_FALSE(schema["properties"]["prune"].contains("default"));
}

TEST(OptionsSchema, CoversEveryKindOfField) {
  Json properties = options_schema<Recipe>()["properties"];
  EXPECT_EQ(properties["seed"]["type"], "integer");
  EXPECT_EQ(properties["seed"]["minimum"], 0);
  EXPECT_EQ(properties["clip"]["anyOf"][1]["type"], "null");
  EXPECT_EQ(properties["weights"]["additionalProperties"]["minimum"], 0);
  EXPECT_EQ(properties["data"], Json::parse(R"({"description": "where samples come from"})"));
  const Json& stage = properties["stages"]["anyOf"][0]["items"]["anyOf"][0];
  const Json& optimizer = stage["properties"]["optimizer"]["anyOf"];
  EXPECT_EQ(optimizer[0]["enum"], Json::array({"sgd", "adam"}));
  EXPECT_EQ(optimizer[2]["required"], Json::array({"adam"}));
  EXPECT_EQ(stage["properties"]["prune"]["anyOf"][1]["enum"], Json::array({false, nullptr}));
  const Json& crop = properties["augment"]["anyOf"][0]["items"]["anyOf"][2]["properties"]["crop"]["anyOf"][0];
  EXPECT_EQ(crop["anyOf"][1]["maximum"], 64);  // its shorthand, a number
  EXPECT_EQ(crop["anyOf"][0]["properties"]["fill"]["enum"], Json::array({"zero", "edge"}));
}

}  // namespace
}  // namespace mc::sample
