#include "mc/prune/channel_rules.h"

#include <unordered_map>

namespace mc {
namespace {

constexpr std::vector<ChannelRule> (*kChannelFamilies[])() = {
    elementwise_channel_rules, layer_channel_rules,     norm_channel_rules,
    reduce_channel_rules,      view_channel_rules,      join_channel_rules,
    recurrent_channel_rules,   attention_channel_rules, fused_channel_rules,
};

}  // namespace

const ChannelRule* find_channel_rule(std::string_view domain, std::string_view op_type) {
  using Rules = std::unordered_map<std::string, ChannelRule>;
  const auto key = [](std::string_view in, std::string_view name) {
    return std::string(in == "ai.onnx" ? "" : in).append(":").append(name);
  };
  static const Rules rules = [&] {
    Rules all;
    for (const auto family : kChannelFamilies) {
      for (const ChannelRule& rule : family()) all.emplace(key(rule.domain, rule.name), rule);
    }
    return all;
  }();
  const auto found = rules.find(key(domain, op_type));
  return found == rules.end() ? nullptr : &found->second;
}

}  // namespace mc
