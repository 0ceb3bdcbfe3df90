#include "mc/ops/regex_parse.h"

#include <algorithm>
#include <string>

#include "mc/base/error.h"
#include "mc/ops/regex_classes.h"
#include "mc/ops/utf8.h"

namespace mc {
namespace {

constexpr int kMaxRepeat = 1000;  // RE2's own limit
constexpr int kMaxNesting = 200;

using NodePointer = std::unique_ptr<RegexNode>;

class RegexParser {
 public:
  explicit RegexParser(std::string_view pattern) : text_(decode_utf8(pattern)) {}

  NodePointer parse() {
    NodePointer tree = choice(0);
    if (!done()) broken("')' closes nothing");
    return tree;
  }

 private:
  struct Flags {
    bool fold_case = false;  // i
    bool lines = false;      // m
    bool dot_all = false;    // s
  };

  [[noreturn]] void broken(const std::string& why) const {
    fail("the regular expression is wrong at character {}: {}", at_ + 1, why);
  }

  bool done() const { return at_ >= text_.size(); }
  bool sees(std::u32string_view what) const { return text_.compare(at_, what.size(), what) == 0; }
  bool take(std::u32string_view what) {
    if (!sees(what)) return false;
    at_ += what.size();
    return true;
  }
  char32_t take_any() {
    if (done()) broken("it ends too early");
    return text_[at_++];
  }

  NodePointer choice(int depth) {
    if (depth > kMaxNesting) broken("it nests too deep");
    const Flags outer = flags_;  // flags set in a group end with it
    auto node = std::make_unique<RegexNode>(RegexNode{.kind = RegexNode::Kind::kChoice});
    do {
      node->parts.push_back(sequence(depth));
    } while (take(U"|"));
    flags_ = outer;
    return node;
  }

  NodePointer sequence(int depth) {
    auto node = std::make_unique<RegexNode>();
    while (!done() && !sees(U"|") && !sees(U")")) {
      NodePointer part;
      if (take(U"\\Q")) {
        while (!done() && !take(U"\\E")) {
          if (part) node->parts.push_back(std::move(part));
          part = literal(take_any());
        }
      } else {
        part = atom(depth);
      }
      if (part) node->parts.push_back(repeated(std::move(part)));
    }
    return node;
  }

  // What stands behind the part may repeat it.
  NodePointer repeated(NodePointer part) {
    bool again = false;
    for (int least = 0, most = 0; take_repeat(least, most); again = true) {
      if (again) broken("a repetition is repeated");
      auto node = std::make_unique<RegexNode>(RegexNode{.kind = RegexNode::Kind::kRepeat});
      node->least = least;
      node->most = most;
      node->parts.push_back(std::move(part));
      part = std::move(node);
      take(U"?");  // reluctant: no other strings match
    }
    return part;
  }

  bool take_repeat(int& least, int& most) {
    if (take(U"*")) return least = 0, most = -1, true;
    if (take(U"+")) return least = 1, most = -1, true;
    if (take(U"?")) return least = 0, most = 1, true;
    const size_t start = at_;
    if (!take(U"{")) return false;
    bool fits = take_count(least);
    most = least;
    if (fits && take(U",")) {
      most = -1;
      if (!sees(U"}")) fits = take_count(most);
    }
    if (!fits || !take(U"}")) {  // then the brace stands for itself
      at_ = start;
      return false;
    }
    if (least > kMaxRepeat || most > kMaxRepeat || (most >= 0 && most < least))
      broken("a repetition goes over 1000, or backwards");
    return true;
  }

  bool take_count(int& count) {
    count = 0;
    const size_t start = at_;
    while (!done() && text_[at_] >= '0' && text_[at_] <= '9') {
      count = std::min(count * 10 + static_cast<int>(text_[at_++] - '0'), kMaxRepeat + 1);
    }
    return at_ > start;
  }

  NodePointer atom(int depth) {
    if (take(U"(")) return group(depth);
    if (take(U"[")) return set_node(bracket());
    if (take(U".")) {
      CodeSet set;
      if (flags_.dot_all)
        set.ranges = {{0, kLastCodePoint}};
      else
        set = {.ranges = {{'\n', '\n'}}, .negated = true};
      return set_node(std::move(set));
    }
    if (take(U"^"))
      return assertion(flags_.lines ? RegexStep::Assertion::kLineBegin : RegexStep::Assertion::kTextBegin);
    if (take(U"$"))
      return assertion(flags_.lines ? RegexStep::Assertion::kLineEnd : RegexStep::Assertion::kTextEnd);
    if (take(U"\\A")) return assertion(RegexStep::Assertion::kTextBegin);
    if (take(U"\\z")) return assertion(RegexStep::Assertion::kTextEnd);
    if (take(U"\\b")) return assertion(RegexStep::Assertion::kWordEdge);
    if (take(U"\\B")) return assertion(RegexStep::Assertion::kNoWordEdge);
    if (sees(U"*") || sees(U"+") || sees(U"?")) broken("there is nothing to repeat");
    CodeSet set;
    if (take_class(set.ranges)) return set_node(std::move(set));
    return literal(take(U"\\") ? escaped() : take_any());
  }

  // Behind '('. Null for a group that only sets flags.
  NodePointer group(int depth) {
    const Flags outer = flags_;
    bool only_flags = false;
    if (take(U"?P<") || take(U"?<")) {
      const size_t start = at_;
      while (!done() && !sees(U">")) ++at_;
      if (at_ == start || !take(U">") || !is_name(start)) broken("a group's name is letters, digits and '_'");
    } else if (take(U"?")) {
      only_flags = set_flags();
    }
    if (only_flags) return nullptr;
    NodePointer node = choice(depth + 1);
    if (!take(U")")) broken("a '(' is not closed");
    flags_ = outer;
    return node;
  }

  bool is_name(size_t start) const {
    return std::all_of(text_.begin() + static_cast<std::ptrdiff_t>(start),
                       text_.begin() + static_cast<std::ptrdiff_t>(at_) - 1, [](char32_t c) {
                         return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                                (c >= 'a' && c <= 'z');
                       });
  }

  // Behind "(?": the flags up to ':' (false) or ')' (true).
  bool set_flags() {
    bool value = true;
    while (true) {
      switch (take_any()) {
        case 'i':
          flags_.fold_case = value;
          break;
        case 'm':
          flags_.lines = value;
          break;
        case 's':
          flags_.dot_all = value;
          break;
        case 'U':  // greedy or not, the same strings match
          break;
        case '-':
          if (!value) broken("flags are negated twice");
          value = false;
          break;
        case ':':
          return false;
        case ')':
          return true;
        default:
          --at_;
          broken("this kind of group is none that RE2 has");
      }
    }
  }

  // Behind '['.
  CodeSet bracket() {
    CodeSet set;
    set.negated = take(U"^");
    for (bool first = true; first || !sees(U"]"); first = false) {
      if (done()) broken("a '[' is not closed");
      if (sees(U"[:")) {
        take_posix(set.ranges);
        continue;
      }
      if (take_class(set.ranges)) continue;
      const char32_t from = take(U"\\") ? escaped() : take_any();
      char32_t to = from;
      if (sees(U"-") && !sees(U"-]")) {
        ++at_;
        to = take(U"\\") ? escaped() : take_any();
      }
      if (to < from) broken("a range of characters goes backwards");
      set.ranges.emplace_back(from, to);
    }
    ++at_;
    return set;
  }

  void take_posix(CodeRanges& ranges) {
    take(U"[:");
    const bool negated = take(U"^");
    const size_t end = text_.find(U":]", at_);
    if (end == std::u32string::npos) broken("a '[:' is not closed");
    const CodeRanges* known = posix_class(std::u32string_view(text_).substr(at_, end - at_));
    if (!known) broken("there is no class of that name");
    at_ = end + 2;
    const CodeRanges found = negated ? complement(*known) : *known;
    ranges.insert(ranges.end(), found.begin(), found.end());
  }

  // \d, \w, \s and their opposites.
  bool take_class(CodeRanges& ranges) {
    for (const char32_t letter : {U'd', U'w', U's'}) {
      const bool positive = take(std::u32string{U'\\', letter});
      if (!positive && !take(std::u32string{U'\\', letter - 32})) continue;
      const CodeRanges found = positive ? perl_class(letter) : complement(perl_class(letter));
      ranges.insert(ranges.end(), found.begin(), found.end());
      return true;
    }
    if (sees(U"\\p") || sees(U"\\P")) broken("Unicode classes are not supported; list the ranges instead");
    return false;
  }

  // Behind a backslash: the code point that the escape stands for.
  char32_t escaped() {
    const char32_t c = take_any();
    static constexpr std::u32string_view kLetters = U"aftnrv", kCodes = U"\a\f\t\n\r\v";
    if (const size_t found = kLetters.find(c); found != std::u32string_view::npos) return kCodes[found];
    if (c == 'x') return hexadecimal();
    const bool octal =
        c == '0' || (c >= '1' && c <= '7' && !done() && text_[at_] >= '0' && text_[at_] <= '7');
    if (octal) {
      char32_t code = c - '0';
      for (int digits = 1; digits < 3 && !done() && text_[at_] >= '0' && text_[at_] <= '7'; ++digits) {
        code = code * 8 + (text_[at_++] - '0');
      }
      return code;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || c == '_' || c >= 0x80) {
      --at_;
      broken("RE2 has no such escape");
    }
    return c;
  }

  char32_t hexadecimal() {
    const bool braces = take(U"{");
    char32_t code = 0;
    int digits = 0;
    for (; digits < (braces ? 8 : 2) && !done() && !sees(U"}"); ++digits) {
      const char32_t c = lower_case(take_any());
      const bool decimal = c >= '0' && c <= '9';
      if (!decimal && !(c >= 'a' && c <= 'f')) broken("this is no hexadecimal digit");
      code = code * 16 + (decimal ? c - '0' : c - 'a' + 10);
      if (code > kLastCodePoint) broken("there is no such code point");
    }
    if (digits == 0 || (braces ? !take(U"}") : digits != 2)) broken("a hexadecimal code point is cut short");
    return code;
  }

  NodePointer literal(char32_t code) { return set_node({.ranges = {{code, code}}}); }

  NodePointer set_node(CodeSet set) {
    set.fold_case = flags_.fold_case;
    return std::make_unique<RegexNode>(RegexNode{.kind = RegexNode::Kind::kSet, .set = std::move(set)});
  }

  NodePointer assertion(RegexStep::Assertion which) {
    return std::make_unique<RegexNode>(RegexNode{.kind = RegexNode::Kind::kAssert, .assertion = which});
  }

  std::u32string text_;
  size_t at_ = 0;
  Flags flags_;
};

}  // namespace

std::unique_ptr<RegexNode> parse_regex(std::string_view pattern) {
  return RegexParser(pattern).parse();
}

}  // namespace mc
