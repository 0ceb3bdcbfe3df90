#include "mc/base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/config_json.h"
#include "tests/base/error_of.h"

namespace mc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Config tree(const char* json) {
  return config_from_json(Json::parse(json));
}

TEST(Config, JsonRoundTrip) {
  Json json = Json::parse(
      R"({"a": 1, "b": [true, null, "3", "true", 0.1, -7, 18446744073709551615], "c": {"d": {}, "e": []}})");
  EXPECT_EQ(config_to_json(config_from_json(json)).dump(), json.dump());
}

TEST(Config, StringsStayText) {
  EXPECT_TRUE(tree(R"("3")").quoted);
  EXPECT_FALSE(tree("3").quoted);
  EXPECT_EQ(tree("3").scalar, "3");
  EXPECT_TRUE(tree("null").is_null());
}

TEST(Config, PlainWordsBecomeStringsInJson) {
  Config word;
  word.kind = Config::Kind::kScalar;
  word.scalar = "one_cycle";
  EXPECT_EQ(config_to_json(word), Json("one_cycle"));
  word.scalar = "inf";
  EXPECT_EQ(config_to_json(word), Json("inf"));
  word.scalar = "1e-3";
  EXPECT_EQ(config_to_json(word), Json(0.001));
}

TEST(Config, DescribesItself) {
  EXPECT_EQ(tree("{}").describe(), "a map");
  EXPECT_EQ(tree("[]").describe(), "a list");
  EXPECT_EQ(tree("1").describe(), "the scalar '1'");
  EXPECT_EQ(tree(R"("1")").describe(), "the string '1'");
  EXPECT_EQ(tree("null").describe(), "nothing");
}

TEST(ConfigError, NamesThePlace) {
  EXPECT_STREQ(config_error({3, 7}, "wrong").what(), "line 3, column 7: wrong");
  EXPECT_STREQ(config_error({}, "wrong").what(), "wrong");
}

std::string after(const char* json, const std::string& key, const char* value) {
  Config config = tree(json);
  set_override(config, key, tree(value));
  return config_to_json(config).dump();
}

TEST(SetOverride, SetsAndMakesMaps) {
  EXPECT_EQ(after(R"({"a":{"b":1,"c":2}})", "a.b", "5"), R"({"a":{"b":5,"c":2}})");
  EXPECT_EQ(after("{}", "a.b.c", "true"), R"({"a":{"b":{"c":true}}})");
  EXPECT_EQ(after("null", "a", "[1]"), R"({"a":[1]})");
  EXPECT_EQ(after(R"({"a":null})", "a.b", "1"), R"({"a":{"b":1}})");
}

TEST(SetOverride, IndexesListsByNumberAndName) {
  const char* stages = R"({"stages":[{"name":"train","epochs":3},{"name":"prune"}]})";
  EXPECT_EQ(after(stages, "stages.0.epochs", "1"),
            R"({"stages":[{"name":"train","epochs":1},{"name":"prune"}]})");
  EXPECT_EQ(after(stages, "stages.prune.epochs", "2"),
            R"({"stages":[{"name":"train","epochs":3},{"name":"prune","epochs":2}]})");
}

TEST(SetOverride, ABareNameBecomesItsMap) {
  EXPECT_EQ(after(R"({"optimizer":"sgd"})", "optimizer.sgd.lr", "0.1"),
            R"({"optimizer":{"sgd":{"lr":0.1}}})");
}

TEST(SetOverride, SaysWhatIsWrong) {
  auto message = [](const char* json, const char* key) { return error_of([&] { after(json, key, "1"); }); };
  const char* stages = R"({"stages":[{"name":"train"},{"name":"prune"}, 3]})";
  EXPECT_THAT(message(stages, "stages.5.epochs"), AllOf(HasSubstr("no item 5"), HasSubstr("has 3")));
  EXPECT_THAT(message(stages, "stages.prun.epochs"), HasSubstr("did you mean 'prune'?"));
  EXPECT_THAT(message(stages, "stages.x.epochs"), HasSubstr("a name: train, prune"));
  EXPECT_THAT(message(R"({"a":1})", "a.b"), HasSubstr("'b' is the scalar '1', which has no keys"));
  EXPECT_THAT(message("{}", "a..b"), HasSubstr("empty part"));
  EXPECT_THAT(message("{}", ""), HasSubstr("empty part"));
}

}  // namespace
}  // namespace mc
