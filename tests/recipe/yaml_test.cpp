#include "mc/recipe/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/config_json.h"
#include "tests/base/error_of.h"

namespace mc {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string json_of(const std::string& text) {
  return config_to_json(parse_yaml(text)).dump();
}

TEST(Yaml, ReadsMapsListsScalarsAndNulls) {
  EXPECT_EQ(json_of("a: 1\nb: [x, 2.5, true, '3']\nc:\nd: {e: ~, f: null}"),
            R"({"a":1,"b":["x",2.5,true,"3"],"c":null,"d":{"e":null,"f":null}})");
}

TEST(Yaml, ReadsASinglePairInAFlowList) {
  EXPECT_EQ(json_of("augment: [flip, crop: 2]"), R"({"augment":["flip",{"crop":2}]})");
}

TEST(Yaml, NothingIsNull) {
  EXPECT_TRUE(parse_yaml("").is_null());
  EXPECT_TRUE(parse_yaml("# only a comment\n").is_null());
}

TEST(Yaml, KnowsWhereThingsStand) {
  Config config = parse_yaml("a: 1\nb:\n  - c: x\n");
  const Config::Entry& c = config.find("b")->items[0].entries[0];
  EXPECT_EQ(c.mark.line, 3);
  EXPECT_EQ(c.mark.column, 5);
  EXPECT_EQ(c.value.mark.column, 8);
}

TEST(Yaml, QuotedScalarsStayText) {
  EXPECT_TRUE(parse_yaml("'1'").quoted);
  EXPECT_TRUE(parse_yaml("\"1\"").quoted);
  EXPECT_FALSE(parse_yaml("1").quoted);
  EXPECT_EQ(parse_yaml("'null'").kind, Config::Kind::kScalar);
}

TEST(Yaml, PassesDuplicatesOn) {
  EXPECT_EQ(parse_yaml("a: 1\na: 2").entries.size(), 2u);
}

TEST(Yaml, ResolvesAnchorsAndMerges) {
  EXPECT_EQ(json_of("base: &b {lr: 1, n: 2}\ncopy: *b\nown: {<<: *b, n: 3}"),
            R"({"base":{"lr":1,"n":2},"copy":{"lr":1,"n":2},"own":{"n":3,"lr":1}})");
  EXPECT_EQ(json_of("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}"),
            R"({"a":{"x":1},"b":{"x":2,"y":2},"c":{"x":1,"y":2}})");
}

TEST(Yaml, RefusesWhatIsNoYaml) {
  EXPECT_THAT(error_of([] { parse_yaml("a: [1, 2\nb: 3"); }), StartsWith("line 2"));
  EXPECT_THAT(error_of([] { parse_yaml("a: *nothing"); }), HasSubstr("line 1, column 4"));
  EXPECT_THAT(error_of([] { parse_yaml("a: 1\n---\nb: 2\n"); }), HasSubstr("second document"));
  EXPECT_THAT(error_of([] { parse_yaml("{[1]: 2}"); }), HasSubstr("a key must be a word"));
  EXPECT_THAT(error_of([] { parse_yaml("a: {<<: 3}"); }), HasSubstr("line 1, column 5: `<<` takes a map"));
}

TEST(Yaml, RefusesDepthAndGrowth) {
  EXPECT_THAT(error_of([] { parse_yaml(std::string(100, '[') + std::string(100, ']')); }),
              HasSubstr("nested deeper than 64 levels"));
  EXPECT_NE(error_of([] { parse_yaml(std::string(100'000, '[')); }), "");
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    std::string previous = fmt::format("*a{}", i - 1);
    bomb += fmt::format("a{}: &a{} [{}", i, i, previous);
    for (int j = 1; j < 10; ++j) bomb += ", " + previous;
    bomb += "]\n";
  }
  EXPECT_THAT(error_of([&] { parse_yaml(bomb); }), HasSubstr("more than 100000 values"));
}

}  // namespace
}  // namespace mc
