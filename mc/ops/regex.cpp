#include "mc/ops/regex.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/ops/regex_parse.h"
#include "mc/ops/utf8.h"

namespace mc {
namespace {

constexpr size_t kMaxSteps = 100'000;  // counted repetitions of counted repetitions multiply

// Steps are made from the end of the pattern to its beginning, so that each knows what comes behind it.
class RegexBuilder {
 public:
  std::vector<RegexStep> steps;

  size_t add(RegexStep step) {
    MC_CHECK(steps.size() < kMaxSteps, "the regular expression is too large: its repetitions multiply");
    steps.push_back(std::move(step));
    return steps.size() - 1;
  }

  // The first step of `node`, behind which `next` comes.
  size_t build(const RegexNode& node, size_t next) {
    switch (node.kind) {
      case RegexNode::Kind::kSequence:
        for (auto part = node.parts.rbegin(); part != node.parts.rend(); ++part) next = build(**part, next);
        return next;
      case RegexNode::Kind::kChoice: {
        size_t first = build(*node.parts.back(), next);
        for (size_t i = node.parts.size() - 1; i-- > 0;) first = fork(build(*node.parts[i], next), first);
        return first;
      }
      case RegexNode::Kind::kRepeat:
        return repeat(node, next);
      case RegexNode::Kind::kSet:
        return add({.kind = RegexStep::Kind::kSet, .set = node.set, .next = next});
      case RegexNode::Kind::kAssert:
        return add({.kind = RegexStep::Kind::kAssert, .assertion = node.assertion, .next = next});
    }
    return next;
  }

 private:
  size_t fork(size_t next, size_t other) {
    return add({.kind = RegexStep::Kind::kFork, .next = next, .other = other});
  }

  size_t repeat(const RegexNode& node, size_t next) {
    if (node.most < 0) {
      const size_t loop = fork(next, next);
      const size_t body = build(*node.parts[0], loop);
      steps[loop].next = body;
      next = loop;
    }
    const size_t end = next;
    for (int i = node.least; i < node.most; ++i) next = fork(build(*node.parts[0], next), end);
    for (int i = 0; i < node.least; ++i) next = build(*node.parts[0], next);
    return next;
  }
};

bool is_word(char32_t code) {
  return (code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') || (code >= 'a' && code <= 'z') ||
         code == '_';
}

// Whether the assertion holds before position `at`.
bool assertion_holds(RegexStep::Assertion assertion, const std::u32string& text, size_t at) {
  using Assertion = RegexStep::Assertion;
  const bool begin = at == 0, end = at == text.size();
  const bool edge = (!begin && is_word(text[at - 1])) != (!end && is_word(text[at]));
  switch (assertion) {
    case Assertion::kTextBegin:
      return begin;
    case Assertion::kTextEnd:
      return end;
    case Assertion::kLineBegin:
      return begin || text[at - 1] == '\n';
    case Assertion::kLineEnd:
      return end || text[at] == '\n';
    case Assertion::kWordEdge:
      return edge;
    case Assertion::kNoWordEdge:
      return !edge;
  }
  return false;
}

// The steps that the pattern may be at: those that take a code point, and the match.
class RegexStates {
 public:
  explicit RegexStates(size_t steps) : seen_(steps, false) {}

  const std::vector<size_t>& steps() const { return waiting_; }

  void clear() {
    std::fill(seen_.begin(), seen_.end(), false);
    waiting_.clear();
  }

  // Adds the step and all that it reaches without taking a code point.
  void add(const std::vector<RegexStep>& all, size_t first, const std::u32string& text, size_t at) {
    open_.assign(1, first);
    while (!open_.empty()) {
      const size_t i = open_.back();
      open_.pop_back();
      if (seen_[i]) continue;
      seen_[i] = true;
      const RegexStep& step = all[i];
      if (step.kind == RegexStep::Kind::kFork) {
        open_.push_back(step.next);
        open_.push_back(step.other);
      } else if (step.kind == RegexStep::Kind::kAssert) {
        if (assertion_holds(step.assertion, text, at)) open_.push_back(step.next);
      } else {
        waiting_.push_back(i);
      }
    }
  }

 private:
  std::vector<bool> seen_;
  std::vector<size_t> waiting_;
  std::vector<size_t> open_;
};

}  // namespace

bool CodeSet::contains(char32_t code) const {
  const auto inside = [&](char32_t c) {
    return std::ranges::any_of(ranges,
                               [c](const auto& range) { return c >= range.first && c <= range.second; });
  };
  const bool found = inside(code) || (fold_case && (inside(lower_case(code)) || inside(upper_case(code))));
  return found != negated;
}

Regex::Regex(std::string_view pattern) {
  const std::unique_ptr<RegexNode> tree = parse_regex(pattern);
  RegexBuilder builder;
  start_ = builder.build(*tree, builder.add({.kind = RegexStep::Kind::kMatch}));
  steps_ = std::move(builder.steps);
}

bool Regex::full_match(std::string_view bytes) const {
  const std::u32string text = decode_utf8(bytes);
  RegexStates now(steps_.size()), next(steps_.size());
  now.add(steps_, start_, text, 0);
  for (size_t at = 0; at < text.size() && !now.steps().empty(); ++at) {
    next.clear();
    for (const size_t i : now.steps()) {
      const RegexStep& step = steps_[i];
      if (step.kind == RegexStep::Kind::kSet && step.set.contains(text[at])) {
        next.add(steps_, step.next, text, at + 1);
      }
    }
    std::swap(now, next);
  }
  return std::ranges::any_of(now.steps(),
                             [&](size_t i) { return steps_[i].kind == RegexStep::Kind::kMatch; });
}

}  // namespace mc
