// The syntax of regular expressions as a tree. Internal to regex.cpp.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "mc/ops/regex.h"

namespace mc {

struct RegexNode {
  enum class Kind { kSequence, kChoice, kRepeat, kSet, kAssert };
  Kind kind = Kind::kSequence;
  std::vector<std::unique_ptr<RegexNode>> parts = {};  // of a sequence or a choice; what is repeated
  int least = 0;
  int most = 0;  // -1: any number
  CodeSet set = {};
  RegexStep::Assertion assertion = RegexStep::Assertion::kTextBegin;
};

std::unique_ptr<RegexNode> parse_regex(std::string_view pattern);

}  // namespace mc
