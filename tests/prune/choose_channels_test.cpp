#include "mc/prune/choose_channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChannelGroup choice_group(const std::string& name, int64_t channels, int64_t width = 1) {
  ChannelGroup group;
  group.name = name;
  group.channels = channels;
  ChannelMember member;
  member.initializer = name;
  member.produces = member.maskable = true;
  for (int64_t c = 0; c < channels; ++c) {
    member.positions.emplace_back();
    for (int64_t i = 0; i < width; ++i) member.positions.back().push_back(c * width + i);
  }
  group.members.push_back(member);
  group.producers = {0};
  return group;
}

Model choice_layers() {
  Model model;
  model.graph.add_initializer("a", Tensor::floats({4, 1}, std::vector<float>(4, 1)));
  model.graph.add_initializer("b", Tensor::floats({8, 4}, std::vector<float>(32, 1)));
  Node first;
  first.name = "first";
  first.op_type = "Gemm";
  first.inputs = {"x", "a"};
  Node second = first;
  second.name = "second";
  second.inputs = {"h", "b"};
  model.graph.nodes = {first, second};
  return model;
}

const std::vector<std::vector<float>> kChoiceScores = {{0.4F, 0.1F, 0.9F, 0.2F},
                                                       {0.3F, 0.5F, 0.6F, 0.7F, 0.15F, 0.8F, 0.05F, 1.0F}};

std::vector<ChannelCut> choose(const std::vector<ChannelGroup>& groups, const ChoiceOptions& options,
                               int64_t count) {
  const auto bounds = channel_bounds(choice_layers(), groups, options);
  return choose_channels(groups, bounds, kChoiceScores, count, options.global);
}

TEST(ChooseChannels, GlobalRankingTakesTheLowestOfAll) {
  const std::vector<ChannelGroup> groups = {choice_group("a", 4), choice_group("b", 8)};
  const auto cuts = choose(groups, {}, 4);  // 0.05 (b), 0.1 (a), 0.15 (b), 0.2 (a)
  ASSERT_EQ(cuts.size(), 2u);
  EXPECT_EQ(cuts[0].group, "a");
  EXPECT_THAT(cuts[0].channels, ElementsAre(1, 3));
  EXPECT_THAT(cuts[1].channels, ElementsAre(4, 6));
  EXPECT_TRUE(choose(groups, {}, 0).empty());
}

TEST(ChooseChannels, LayerRankingTakesTheSamePartOfEach) {
  const std::vector<ChannelGroup> groups = {choice_group("a", 4), choice_group("b", 8)};
  ChoiceOptions options;
  options.global = false;
  options.max_part = 0.5;  // 2 and 4 may go
  const auto cuts = choose(groups, options, 3);
  ASSERT_EQ(cuts.size(), 2u);
  EXPECT_EQ(cuts[0].channels.size(), 1u);
  EXPECT_EQ(cuts[1].channels.size(), 2u);
}

TEST(ChooseChannels, WidthsAreRounded) {
  const std::vector<ChannelGroup> groups = {choice_group("a", 4), choice_group("b", 8)};
  ChoiceOptions options;
  options.round_to = 4;
  const auto bounds = channel_bounds(choice_layers(), groups, options);
  EXPECT_EQ(bounds[0].removable, 0);
  EXPECT_THAT(bounds[0].reason, HasSubstr("no more than one multiple of 4"));
  EXPECT_EQ(bounds[1].removable, 4);
  for (int64_t count = 0; count <= 12; ++count) {
    for (const ChannelCut& cut : choose_channels(groups, bounds, kChoiceScores, count, true)) {
      EXPECT_EQ(cut.group, "b");
      EXPECT_EQ((8 - static_cast<int64_t>(cut.channels.size())) % 4, 0) << count;
    }
  }
  // A channel that stands for two columns needs only every second one.
  options.round_to = 8;
  EXPECT_EQ(channel_bounds(choice_layers(), {choice_group("b", 8, 2)}, options)[0].step, 4);
}

TEST(ChooseChannels, BoundsAndEarlierCuts) {
  const std::vector<ChannelGroup> groups = {choice_group("a", 4), choice_group("b", 8)};
  ChoiceOptions options;
  options.max_part = 0.5;
  options.min_channels = 3;
  options.limits = {{"second", 0.25}};
  auto bounds = channel_bounds(choice_layers(), groups, options);
  EXPECT_EQ(bounds[0].removable, 1);
  EXPECT_EQ(bounds[1].removable, 2);
  options.original = {{"b", 16}};  // 8 of 16 are gone: of a quarter nothing is left to take
  bounds = channel_bounds(choice_layers(), groups, options);
  EXPECT_EQ(bounds[1].removable, 0);
  options = {};
  options.ignore = {"fir*"};
  bounds = channel_bounds(choice_layers(), groups, options);
  EXPECT_EQ(bounds[0].reason, "'fir*' is left alone");
  EXPECT_EQ(bounds[1].removable, 7);
  EXPECT_EQ(removable_channels(bounds), 7);
}

TEST(ChooseChannels, EqualScoresAndObstacles) {
  ChannelGroup blocked = choice_group("a", 4);
  blocked.obstacle = "it is an output";
  const std::vector<ChannelGroup> groups = {blocked, choice_group("b", 8)};
  const auto bounds = channel_bounds(choice_layers(), groups, {});
  EXPECT_EQ(bounds[0].reason, "it is an output");
  const auto cuts = choose_channels(groups, bounds, {{}, std::vector<float>(8, 1)}, 2, true);
  ASSERT_EQ(cuts.size(), 1u);
  EXPECT_THAT(cuts[0].channels, ElementsAre(6, 7));
}

std::string choice_refusal(const ChoiceOptions& options) {
  try {
    channel_bounds(choice_layers(), {choice_group("a", 4)}, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ChooseChannels, BadInput) {
  ChoiceOptions options;
  options.ignore = {"frist"};
  EXPECT_THAT(choice_refusal(options),
              HasSubstr("no node and no parameter matches 'frist' (did you mean 'first'?)"));
  options = {};
  options.round_to = 0;
  EXPECT_THAT(choice_refusal(options), HasSubstr("multiples of 0"));
  options = {};
  options.max_part = 1.5;
  EXPECT_THAT(choice_refusal(options), HasSubstr("(0, 1], not 1.5"));
  options = {};
  options.limits = {{"a", -1}};
  EXPECT_THAT(choice_refusal(options), HasSubstr("0 to 1, not -1"));
  options = {};
  options.min_channels = 0;
  EXPECT_THAT(choice_refusal(options), HasSubstr("at least one channel"));
}

}  // namespace
}  // namespace mc
