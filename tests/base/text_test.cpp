#include "mc/base/text.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mc {
namespace {

TEST(Nearest, FindsMisspellings) {
  std::vector<std::string> keys = {"epochs", "optimizer", "schedule", "lr"};
  EXPECT_EQ(nearest("epoch", keys), "epochs");
  EXPECT_EQ(nearest("optimzier", keys), "optimizer");
  EXPECT_EQ(nearest("Schedule", keys), "schedule");
  EXPECT_EQ(nearest("rl", keys), "lr");  // a swap is one edit
  EXPECT_EQ(nearest("teacher", keys), "");
  EXPECT_EQ(nearest("x", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("epochs", {}), "");
}

TEST(DidYouMean, IsEmptyWithoutACandidate) {
  EXPECT_EQ(did_you_mean("stage", {"stages"}), " (did you mean 'stages'?)");
  EXPECT_EQ(did_you_mean("colour", {"stages"}), "");
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_THAT(split("a.b..c", '.'), testing::ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(split("", '.'), testing::ElementsAre(""));
  EXPECT_THAT(split("a.", '.'), testing::ElementsAre("a", ""));
  EXPECT_EQ(join({"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(join({}, ", "), "");
}

TEST(GlobMatch, StarsAndQuestionMarks) {
  EXPECT_TRUE(glob_match("layer1.*", "layer1.0.conv1"));
  EXPECT_TRUE(glob_match("*.weight", "a.weight.weight"));
  EXPECT_TRUE(glob_match("conv?", "conv1"));
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("a*b*c", "a--b-b--c"));
  EXPECT_FALSE(glob_match("conv?", "conv"));
  EXPECT_FALSE(glob_match("conv", "conv1"));
  EXPECT_FALSE(glob_match("a*b*c", "a--c--b"));
  EXPECT_FALSE(glob_match("", "a"));
}

TEST(GlobMatch, ManyStarsStayFast) {
  std::string pattern, name(5000, 'a');
  for (int i = 0; i < 50; ++i) pattern += "a*";
  EXPECT_FALSE(glob_match(pattern + "b", name));
}

TEST(Human, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(812), "812 B");
  EXPECT_EQ(human_bytes(1400), "1.4 kB");
  EXPECT_EQ(human_bytes(1.4e6), "1.4 MB");
  EXPECT_EQ(human_bytes(102.5e6), "102 MB");
  EXPECT_EQ(human_bytes(999999), "1.0 MB");
}

TEST(Human, Counts) {
  EXPECT_EQ(human_count(950), "950");
  EXPECT_EQ(human_count(11.2e6), "11.2 M");
  EXPECT_EQ(human_count(4.1e9), "4.1 G");
}

TEST(Human, Seconds) {
  EXPECT_EQ(human_seconds(0.0123), "12 ms");
  EXPECT_EQ(human_seconds(0.9999), "1.0 s");
  EXPECT_EQ(human_seconds(3.44), "3.4 s");
  EXPECT_EQ(human_seconds(9.96), "10 s");
  EXPECT_EQ(human_seconds(125), "2 min 05 s");
  EXPECT_EQ(human_seconds(59.7), "1 min 00 s");
  EXPECT_EQ(human_seconds(3 * 3600 + 180), "3 h 03 min");
  EXPECT_EQ(human_seconds(std::numeric_limits<double>::infinity()), "unknown");
}

}  // namespace
}  // namespace mc
