#include "mc/ops/regex_classes.h"

#include <algorithm>

namespace mc {
namespace {

struct NamedClass {
  std::u32string_view name;
  CodeRanges ranges;
};

const std::vector<NamedClass>& posix_classes() {
  static const std::vector<NamedClass> classes = {
      {U"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
      {U"alpha", {{'A', 'Z'}, {'a', 'z'}}},
      {U"ascii", {{0, 0x7F}}},
      {U"blank", {{'\t', '\t'}, {' ', ' '}}},
      {U"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}},
      {U"digit", {{'0', '9'}}},
      {U"graph", {{'!', '~'}}},
      {U"lower", {{'a', 'z'}}},
      {U"print", {{' ', '~'}}},
      {U"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
      {U"space", {{'\t', '\r'}, {' ', ' '}}},
      {U"upper", {{'A', 'Z'}}},
      {U"word", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}}},
      {U"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
  };
  return classes;
}

}  // namespace

CodeRanges complement(CodeRanges ranges) {
  std::ranges::sort(ranges);
  CodeRanges result;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) result.emplace_back(next, first - 1);
    next = std::max<char32_t>(next, last + 1);
  }
  if (next <= kLastCodePoint) result.emplace_back(next, kLastCodePoint);
  return result;
}

const CodeRanges* posix_class(std::u32string_view name) {
  for (const NamedClass& known : posix_classes()) {
    if (known.name == name) return &known.ranges;
  }
  return nullptr;
}

CodeRanges perl_class(char32_t letter) {
  if (letter == 'd') return {{'0', '9'}};
  if (letter == 'w') return {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}};
  return {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};
}

}  // namespace mc
