#include "mc/ops/regex.h"

#include <gmock/gmock.h>

#include <regex>

#include "mc/base/error.h"

namespace mc {
namespace {

// On syntax that both have, std::regex is the independent judge.
TEST(Regex, AgreesWithTheStandardLibrary) {
  const std::vector<std::string> patterns = {"",
                                             "a",
                                             "abc",
                                             "a|b",
                                             "a|bc|",
                                             "(a|b)*c",
                                             "a+b?c*",
                                             "a{2}",
                                             "a{2,}",
                                             "a{1,3}b{0,2}",
                                             "(ab){2,3}",
                                             "[abc]+",
                                             "[^abc]+",
                                             "[a-c1-3]*",
                                             "\\d+",
                                             "\\w+\\s\\w+",
                                             "\\D*",
                                             "a.c",
                                             "(a*)*",
                                             "(a|aa)+",
                                             "(?:a|b)c",
                                             "^abc$",
                                             "a\\.c",
                                             "[.]",
                                             "[\\d_]+",
                                             "a\\bc",
                                             "ab\\b",
                                             "(a+)+b",
                                             "[[:alpha:]]+[[:digit:]]*",
                                             "a*?b",
                                             "x{0}",
                                             "(|a)b",
                                             "\\x61b"};
  const std::vector<std::string> texts = {
      "",    "a",  "b",  "c",       "ab", "bc",  "abc",  "aab",    "abab", "aaa", "aaaa", "ababab", "a.c",
      "axc", "12", "a1", "foo bar", "ac", "aac", "bbbc", "abcabc", ".",    "a_1", "123",  "ababc"};
  for (const std::string& pattern : patterns) {
    const Regex mine(pattern);
    const std::regex theirs(pattern, std::regex::ECMAScript);
    for (const std::string& text : texts) {
      EXPECT_EQ(mine.full_match(text), std::regex_match(text, theirs)) << pattern << " on '" << text << "'";
    }
  }
}

TEST(Regex, SyntaxOfRe2) {
  const auto matches = [](const char* pattern, const char* text) { return Regex(pattern).full_match(text); };
  EXPECT_TRUE(matches("(?i)straße", "STRAßE"));
  EXPECT_TRUE(matches("(?i:a)b", "Ab"));
  EXPECT_FALSE(matches("(?i:a)b", "AB"));
  EXPECT_TRUE(matches("(?P<year>\\d{4})-(?<month>\\d\\d)", "2024-05"));
  EXPECT_FALSE(matches("a.b", "a\nb"));
  EXPECT_TRUE(matches("(?s)a.b", "a\nb"));
  EXPECT_TRUE(matches("a.b",
                      "a\xE2\x82\xAC"
                      "b"));  // one code point of three bytes
  EXPECT_TRUE(matches("[α-ω]+", "λμ"));
  EXPECT_TRUE(matches("\\x{20AC}", "€"));
  EXPECT_TRUE(matches("\\Qa.b*\\E+", "a.b**"));
  EXPECT_TRUE(matches("(?m)a$\n^b", "a\nb"));
  EXPECT_FALSE(matches("a$\n^b", "a\nb"));
  EXPECT_TRUE(matches("[]a]+", "]a"));
  EXPECT_TRUE(matches("[[:^digit:]\\d]*", "a1"));
  EXPECT_TRUE(matches("a{,2}", "a{,2}"));  // no count: the braces stand for themselves
  EXPECT_TRUE(matches("\\Aab\\z", "ab"));
  EXPECT_TRUE(matches("(?U)a+(?-s:.)\\101\\t", "aaxA\t"));
  EXPECT_FALSE(matches("\\d", "٣"));  // ASCII only
}

// Patterns and strings on which backtracking takes exponential time or overflows the stack.
TEST(Regex, IsLinear) {
  EXPECT_FALSE(Regex("(a*)*b").full_match(std::string(20'000, 'a')));
  EXPECT_FALSE(Regex("(a|a)*(a|a)*c").full_match(std::string(20'000, 'a')));
  EXPECT_TRUE(Regex("(.|\n)*").full_match(std::string(1'000'000, 'x')));
}

TEST(Regex, RefusesWhatRe2DoesNotHave) {
  for (const char* pattern : {"(",
                              ")",
                              "a)",
                              "[a",
                              "[z-a]",
                              "*a",
                              "a**",
                              "+",
                              "(?=a)",
                              "(?!a)",
                              "(?<=a)b",
                              "(a)\\1",
                              "\\",
                              "\\y",
                              "\\pL",
                              "[[:word",
                              "[[:nothing:]]",
                              "a{1001}",
                              "a{3,2}",
                              "(?P<1",
                              "(?P<>a)",
                              "(?x)a",
                              "\\x{110000}",
                              "\\xg",
                              "\\x1",
                              "((a{100}){100}){100}",
                              "(?",
                              "(?i"}) {
    EXPECT_THROW(Regex{pattern}, Error) << pattern;
  }
  EXPECT_THROW(Regex{std::string(10'000, '(')}, Error);
}

}  // namespace
}  // namespace mc
