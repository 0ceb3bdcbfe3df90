#include "mc/base/options_read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/config_json.h"
#include "tests/base/error_of.h"
#include "tests/base/sample_options.h"

namespace mc::sample {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Config tree(const char* json) {
  return config_from_json(Json::parse(json));
}

template <class T>
T read(const char* json) {
  T options;
  read_options(tree(json), options);
  return options;
}

template <class T>
std::string error_in(const char* json) {
  return error_of([&] { read<T>(json); });
}

Config plain(const char* text, Mark mark) {
  Config config;
  config.kind = Config::Kind::kScalar;
  config.scalar = text;
  config.mark = mark;
  return config;
}

TEST(ReadOptions, NullAndEmptyKeepDefaults) {
  for (const char* json : {"null", "{}"}) {
    Recipe recipe = read<Recipe>(json);
    EXPECT_EQ(recipe.seed, 0u);
    EXPECT_EQ(recipe.output, "runs");
    EXPECT_FALSE(recipe.clip);
  }
  EXPECT_EQ(read<Sgd>(R"({"lr": null})").lr, 0.1);
}

TEST(ReadOptions, ReadsEveryKindOfField) {
  Recipe recipe = read<Recipe>(R"({
    "seed": 18446744073709551615, "output": "out/x", "clip": 1e-3, "augment": ["flip", {"crop": 2}],
    "weights": {"ce": 0.5, "kd": 2}, "data": {"format": "idx", "depth": [1, 2]},
    "stages": [{"name": "a", "epochs": 3, "optimizer": {"sgd": {"lr": 0.4, "nesterov": true}}},
               {"name": "b", "optimizer": "adam", "prune": {"target_sparsity": 0.8}}]})");
  EXPECT_EQ(recipe.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(recipe.output, "out/x");
  EXPECT_EQ(recipe.clip, 0.001);
  ASSERT_EQ(recipe.augment.size(), 2u);
  EXPECT_EQ(recipe.augment[0].index(), 0u);
  EXPECT_EQ(std::get<Crop>(recipe.augment[1]).padding, 2);
  EXPECT_EQ(recipe.weights, (std::map<std::string, double>{{"ce", 0.5}, {"kd", 2}}));
  ASSERT_TRUE(recipe.data.find("depth"));
  EXPECT_EQ(recipe.data.find("depth")->items[1].scalar, "2");
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[0].epochs, 3);
  EXPECT_EQ(std::get<Sgd>(recipe.stages[0].optimizer).lr, 0.4);
  EXPECT_TRUE(std::get<Sgd>(recipe.stages[0].optimizer).nesterov);
  EXPECT_FALSE(recipe.stages[0].prune);
  EXPECT_THAT(std::get<Adam>(recipe.stages[1].optimizer).betas, ElementsAre(0.9, 0.999));
  EXPECT_EQ(recipe.stages[1].prune->target_sparsity, 0.8);
}

TEST(ReadOptions, AnOptionalStructIsOnWhenItsKeyIsThere) {
  EXPECT_FALSE(read<Stage>(R"({"name": "a"})").prune);
  EXPECT_FALSE(read<Stage>(R"({"name": "a", "prune": false})").prune);
  for (const char* json : {R"({"name": "a", "prune": {}})", R"({"name": "a", "prune": null})"}) {
    ASSERT_TRUE(read<Stage>(json).prune) << json;
    EXPECT_EQ(read<Stage>(json).prune->target_sparsity, 0.5);
  }
}

TEST(ReadOptions, NullSwitchesAnOptionalScalarOff) {
  Recipe recipe;
  recipe.clip = 1;
  read_options(tree(R"({"clip": null})"), recipe);
  EXPECT_FALSE(recipe.clip);
}

TEST(ReadOptions, AVectorTakesOneValue) {
  Recipe recipe = read<Recipe>(R"({"augment": "flip", "stages": {"name": "only"}})");
  EXPECT_EQ(recipe.augment.size(), 1u);
  ASSERT_EQ(recipe.stages.size(), 1u);
  EXPECT_EQ(recipe.stages[0].name, "only");
  EXPECT_THAT(error_in<Recipe>(R"({"stages": {"name": "a", "epochs": -1}})"), StartsWith("stages.epochs: "));
}

TEST(ReadOptions, ShorthandSetsItsField) {
  EXPECT_EQ(read<Crop>("7").padding, 7);
  EXPECT_EQ(read<Crop>(R"({"padding": 7, "fill": "edge"})").fill, "edge");
  EXPECT_EQ(error_in<Crop>("99"), "padding: must be in [0, 64], is 99");
  EXPECT_EQ(error_in<Sgd>("0.1"), "expected a map, got the scalar '0.1'");
}

TEST(ReadOptions, NumbersInOtherDress) {
  EXPECT_EQ(read<Stage>(R"({"name": "a", "epochs": 1e2})").epochs, 100);
  Sgd sgd;
  Config map = tree(R"({"lr": 1})");
  map.entries[0].value = plain("+1e-3", {});
  read_options(map, sgd);
  EXPECT_EQ(sgd.lr, 0.001);
}

TEST(ReadOptions, RefusesWrongTypes) {
  EXPECT_EQ(error_in<Sgd>(R"({"lr": "0.1"})"), "lr: expected a number, got the string '0.1'");
  EXPECT_EQ(error_in<Sgd>(R"({"lr": [1]})"), "lr: expected a number, got a list");
  EXPECT_EQ(error_in<Sgd>(R"({"nesterov": 1})"), "nesterov: expected true or false, got the scalar '1'");
  EXPECT_EQ(error_in<Sgd>(R"({"nesterov": "true"})"),
            "nesterov: expected true or false, got the string 'true'");
  EXPECT_EQ(error_in<Stage>(R"({"name": "a", "epochs": 1.5})"),
            "epochs: expected a whole number, got the scalar '1.5'");
  EXPECT_EQ(error_in<Recipe>(R"({"output": {}})"), "output: expected text, got a map");
  EXPECT_EQ(error_in<Recipe>(R"({"weights": [1]})"), "weights: expected a map, got a list");
  EXPECT_EQ(error_in<Recipe>(R"({"augment": [null]})"), "augment[0]: is empty");
  EXPECT_EQ(error_in<Recipe>("[1]"), "expected a map, got a list");
  for (const char* text : {"inf", "nan", "0x10", "1e999", "--1", "+-1", "1 ", ""}) {
    Config map = tree(R"({"lr": 1})");
    map.entries[0].value = plain(text, {});
    Sgd sgd;
    EXPECT_THAT(error_of([&] { read_options(map, sgd); }), StartsWith("lr: expected a number")) << text;
  }
}

TEST(ReadOptions, RefusesIntegersBeyondTheirType) {
  EXPECT_EQ(error_in<Crop>(R"({"padding": 3000000000})"),
            "padding: must be in [-2147483648, 2147483647], is 3000000000");
  EXPECT_THAT(error_in<Recipe>(R"({"seed": -1})"), HasSubstr("seed: must be in [0, 18446744073709551615]"));
}

TEST(ReadOptions, RefusesValuesOutOfRange) {
  EXPECT_EQ(error_in<Prune>(R"({"target_sparsity": 1.2})"), "target_sparsity: must be in [0, 1), is 1.2");
  EXPECT_EQ(error_in<Prune>(R"({"target_sparsity": 1})"), "target_sparsity: must be in [0, 1), is 1");
  EXPECT_EQ(error_in<Sgd>(R"({"lr": 0})"), "lr: must be above 0, is 0");
  EXPECT_EQ(error_in<Adam>(R"({"betas": [0.9, 1.5]})"), "betas[1]: must be in [0, 1), is 1.5");
  EXPECT_EQ(error_in<Crop>(R"({"fill": "egde"})"),
            "fill: must be one of zero, edge; is 'egde' (did you mean 'edge'?)");
}

TEST(ReadOptions, NamesTheNearestKeyAndAlternative) {
  EXPECT_EQ(error_in<Sgd>(R"({"nestorov": true})"), "nestorov: unknown key (did you mean 'nesterov'?)");
  EXPECT_EQ(error_in<Sgd>(R"({"momentum": 1})"), "momentum: unknown key; known keys: lr, nesterov");
  EXPECT_EQ(error_in<Stage>(R"({"name": "a", "optimizer": "sgdd"})"),
            "optimizer: expected one of sgd, adam, got 'sgdd' (did you mean 'sgd'?)");
  EXPECT_EQ(error_in<Stage>(R"({"name": "a", "optimizer": {"sgd": {}, "adam": {}}})"),
            "optimizer: expected one of sgd, adam, written `name` or `{name: {...}}`; got a map with 2 keys");
  EXPECT_EQ(error_in<Recipe>(R"({"augment": {"flip": {"x": 1}}})"),
            "augment.flip.x: unknown key; no keys are known here");
}

TEST(ReadOptions, ChecksWhatBelongsTogether) {
  EXPECT_EQ(error_in<Stage>(R"({"name": "a", "optimizer": {"adam": {"betas": 0.5}}})"),
            "optimizer.adam: betas must have two values, has 1");
}

// A recipe of five lines, marked by hand:
//   1  seed: 1
//   2  stages:
//   3    - name: a
//   4      prune: {target_sparsity: 1.2}
//   5    - epochs: x
//   6  seed: 2
TEST(ReadOptions, ListsAllErrorsWithTheirPlaces) {
  Config root =
      tree(R"({"seed": 1, "stages": [{"name": "a", "prune": {"target_sparsity": 1.2}}, {"epochs": 0}]})");
  root.mark = {1, 1};
  root.entries[0].mark = {1, 1};
  auto& items = root.entries[1].value.items;
  items[0].entries[1].value.entries[0].value.mark = {4, 31};
  items[1].mark = {5, 5};
  items[1].entries[0].value = plain("x", {5, 13});
  root.entries.push_back({"seed", {6, 1}, plain("2", {6, 7})});
  Recipe recipe;
  EXPECT_EQ(error_of([&] { read_options(root, recipe); }),
            "line 4, column 31: stages[0].prune.target_sparsity: must be in [0, 1), is 1.2\n"
            "line 5, column 5: stages[1].name: is required: what to call it\n"
            "line 5, column 13: stages[1].epochs: expected a whole number, got the scalar 'x'\n"
            "line 6, column 1: seed: is given twice, first on line 1");
}

TEST(ReadOptions, UnknownKeysStandAtTheKey) {
  Config map = tree(R"({"momentum": 0.9})");
  map.entries[0].mark = {2, 3};
  map.entries[0].value.mark = {2, 13};
  Sgd sgd;
  EXPECT_THAT(error_of([&] { read_options(map, sgd); }), StartsWith("line 2, column 3: momentum: "));
}

}  // namespace
}  // namespace mc::sample
