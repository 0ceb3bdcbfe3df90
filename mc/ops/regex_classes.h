// The named classes of regular expressions: RE2's, of ASCII. Internal to regex_parse.cpp.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace mc {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

using CodeRanges = std::vector<std::pair<char32_t, char32_t>>;  // first and last of each

CodeRanges complement(CodeRanges ranges);
const CodeRanges* posix_class(std::u32string_view name);  // "alpha" ...; null where there is none
CodeRanges perl_class(char32_t letter);                   // of \d, \w and \s

}  // namespace mc
