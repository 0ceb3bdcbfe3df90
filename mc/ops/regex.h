// Regular expressions in RE2's syntax (github.com/google/re2/wiki/Syntax), matched against whole strings.
// All states that the pattern can be in are followed at once (Thompson, "Regular Expression Search
// Algorithm", CACM 11(6), 1968): time is linear in the string, whatever the pattern, and the stack is not
// used for it, neither of which std::regex can promise. Unicode classes (\pL, \p{Greek}) are not supported.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "mc/ops/regex_classes.h"

namespace mc {

// A set of code points.
struct CodeSet {
  CodeRanges ranges;
  bool negated = false;
  bool fold_case = false;

  bool contains(char32_t code) const;
};

struct RegexStep {
  enum class Kind { kSet, kFork, kAssert, kMatch };
  enum class Assertion { kTextBegin, kTextEnd, kLineBegin, kLineEnd, kWordEdge, kNoWordEdge };
  Kind kind = Kind::kMatch;
  CodeSet set = {};
  Assertion assertion = Assertion::kTextBegin;
  size_t next = 0;   // kSet, kAssert, kFork
  size_t other = 0;  // kFork
};

class Regex {
 public:
  // Throws Error with the place in the pattern for what is no RE2 syntax, is not supported, or is too large.
  explicit Regex(std::string_view pattern);

  bool full_match(std::string_view text) const;  // UTF-8

 private:
  std::vector<RegexStep> steps_;
  size_t start_ = 0;
};

}  // namespace mc
