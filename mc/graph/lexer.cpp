#include "mc/graph/lexer.h"

#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "mc/graph/syntax.h"

namespace mc {
namespace {

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// inf, nan, and nan(0x..) with the bits of Float; nothing for other numbers.
template <class Float, class Bits>
bool special_number(std::string_view text, Float& value) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || is_digit(text.front())) return false;
  Bits bits = 0;
  if (const size_t open = text.find('('); open != std::string_view::npos) {
    const std::string_view digits = text.substr(open + 3, text.size() - open - 4);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
    value = std::bit_cast<Float>(bits);
    return result.ec == std::errc() && result.ptr == digits.data() + digits.size() && std::isnan(value);
  }
  const bool nan = text.front() == 'n' || text.front() == 'N';
  value = nan ? std::numeric_limits<Float>::quiet_NaN() : std::numeric_limits<Float>::infinity();
  value = std::copysign(value, negative ? Float{-1} : Float{1});
  return true;
}

}  // namespace

void Lexer::fail_at(size_t position, const std::string& message) const {
  int line = 1;
  int column = 1;
  for (const char c : text_.substr(0, position)) {
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n' ? 1 : 0;
  }
  fail("line {}, column {}: {}", line, column, message);
}

std::string Lexer::found() {
  if (at_end()) return "the end of the text";
  const std::string_view word = peek_identifier();
  return fmt::format("'{}'", word.empty() ? text_.substr(position_, 1) : word);
}

char Lexer::peek() {
  while (position_ < text_.size()) {
    if (text_[position_] == '#') {
      position_ = std::min(text_.find('\n', position_), text_.size());
    } else if (is_space(text_[position_])) {
      ++position_;
    } else {
      return text_[position_];
    }
  }
  return 0;
}

bool Lexer::accept(char sign) {
  if (at_end() || peek() != sign) return false;
  ++position_;
  return true;
}

bool Lexer::accept(std::string_view signs) {
  peek();
  if (!text_.substr(position_).starts_with(signs)) return false;
  position_ += signs.size();
  return true;
}

void Lexer::expect(char sign, std::string_view where) {
  if (!accept(sign)) fail_here("expected '{}' {}, found {}", sign, where, found());
}

std::string_view Lexer::peek_identifier() {
  const char first = peek();
  if (first == 0 || !is_word(first) || is_digit(first)) return {};
  size_t end = position_;
  while (end < text_.size() && is_word(text_[end])) ++end;
  return text_.substr(position_, end - position_);
}

std::string Lexer::identifier(std::string_view what) {
  const std::string_view word = peek_identifier();
  if (word.empty()) fail_here("expected {}, found {}", what, found());
  position_ += word.size();
  return std::string(word);
}

bool Lexer::next_is_name() {
  return peek() == '"' || !peek_identifier().empty();
}

std::string Lexer::name(std::string_view what) {
  return peek() == '"' ? quoted(what) : identifier(what);
}

std::string Lexer::quoted(std::string_view what) {
  if (peek() != '"') fail_here("expected {} in quotation marks, found {}", what, found());
  const size_t start = position_++;
  std::string value;
  while (position_ < text_.size() && text_[position_] != '"') {
    if (text_[position_] == '\\') ++position_;
    if (position_ < text_.size()) value += text_[position_++];
  }
  if (position_ >= text_.size()) fail_at(start, "this quotation mark has no counterpart");
  ++position_;
  return value;
}

Lexer::Number Lexer::number() {
  peek();
  const size_t start = position_;
  const auto digits = [&] {
    const size_t first = position_;
    while (position_ < text_.size() && is_digit(text_[position_])) ++position_;
    return position_ > first;
  };
  Number number;
  if (position_ < text_.size() && text_[position_] == '-') ++position_;
  if (position_ < text_.size() && is_digit(text_[position_])) {
    digits();
    if (position_ < text_.size() && text_[position_] == '.') {
      ++position_;
      digits();
      number.is_float = true;
    }
    if (position_ < text_.size() && (text_[position_] == 'e' || text_[position_] == 'E')) {
      ++position_;
      if (position_ < text_.size() && (text_[position_] == '+' || text_[position_] == '-')) ++position_;
      if (!digits()) fail_at(start, "a number's exponent has no digits");
      number.is_float = true;
    }
  } else if (const std::string_view word = peek_identifier(); syntax::is_float_word(word)) {
    position_ += word.size();
    number.is_float = true;
    if (text_.substr(position_).starts_with("(0x")) {
      const size_t close = text_.find(')', position_);
      if (close == std::string_view::npos) fail_at(start, "the bits of this nan have no closing ')'");
      position_ = close + 1;
    }
  } else {
    position_ = start;
    fail_here("expected a number, found {}", found());
  }
  number.text = text_.substr(start, position_ - start);
  return number;
}

template <class T>
T Lexer::converted(const Number& number, const char* type) {
  T value{};
  const char* end = number.text.data() + number.text.size();
  const auto result = std::from_chars(number.text.data(), end, value);
  // from_chars would take nan(...) with anything between the brackets.
  const bool plain = number.text.back() != ')';
  if (plain && result.ec == std::errc() && result.ptr == end) return value;
  fail_at(static_cast<size_t>(number.text.data() - text_.data()),
          fmt::format("'{}' is no {}", number.text, type));
}

int64_t Lexer::integer() {
  return converted<int64_t>(number(), "integer of 64 bits");
}

uint64_t Lexer::unsigned_integer() {
  return converted<uint64_t>(number(), "unsigned integer of 64 bits");
}

double Lexer::real() {
  const Number parsed = number();
  double value = 0;
  if (special_number<double, uint64_t>(parsed.text, value)) return value;
  return converted<double>(parsed, "number of 64 bits");
}

float Lexer::single() {
  const Number parsed = number();
  float value = 0;
  if (special_number<float, uint32_t>(parsed.text, value)) return value;
  return converted<float>(parsed, "number of 32 bits");
}

}  // namespace mc
