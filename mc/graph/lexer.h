// Characters of the text form as names, strings, numbers and signs, with their places.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "mc/base/error.h"

namespace mc {

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  char peek();  // the next character that is no space or comment; 0 at the end
  bool at_end() { return peek() == 0; }
  bool accept(char sign);
  bool accept(std::string_view signs);  // several characters with nothing between them
  void expect(char sign, std::string_view where);
  void step_back() { --position_; }  // over the last character that was accepted

  std::string_view peek_identifier();             // empty when there is none
  std::string identifier(std::string_view what);  // throws Error saying that `what` was expected
  bool next_is_name();                            // an identifier or a quoted name
  std::string name(std::string_view what);
  std::string quoted(std::string_view what);

  struct Number {
    std::string_view text;
    bool is_float = false;
  };
  Number number();  // an integer, a decimal fraction, inf, nan or nan(0x..), perhaps negative
  int64_t integer();
  uint64_t unsigned_integer();
  double real();   // any Number
  float single();  // any Number, rounded once

  // Throws Error with the place of what comes next.
  template <class... Args>
  [[noreturn]] void fail_here(fmt::format_string<Args...> format, Args&&... args) {
    peek();
    fail_at(position_, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void fail_at(size_t position, const std::string& message) const;
  size_t position() { return peek(), position_; }

 private:
  std::string found();

  template <class T>
  T converted(const Number& number, const char* type);

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace mc
