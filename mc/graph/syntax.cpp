#include "mc/graph/syntax.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace mc::syntax {
namespace {

constexpr std::array<std::string_view, 15> kKindNames = {
    "undefined", "float",   "int",    "string",        "tensor",         "graph",      "floats",     "ints",
    "strings",   "tensors", "graphs", "sparse_tensor", "sparse_tensors", "type_proto", "type_protos"};

bool is_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
}
bool is_letter_or_digit(char c) {
  return is_letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

bool is_identifier(std::string_view text) {
  return !text.empty() && is_letter(text.front()) && std::ranges::all_of(text, is_letter_or_digit);
}

bool is_type_word(std::string_view word) {
  if (word == "seq" || word == "map" || word == "optional" || word == "sparse_tensor" || word == "opaque")
    return true;
  for (int32_t type = 0; type == 0 || dtype_known(type); ++type) {
    if (dtype_name(static_cast<DType>(type)) == word) return true;
  }
  return false;
}

bool is_float_word(std::string_view word) {
  std::string lower(word);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower == "inf" || lower == "infinity" || lower == "nan";
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string name(std::string_view text) {
  const bool bare = is_identifier(text) && !is_type_word(text) && !is_float_word(text);
  return bare ? std::string(text) : quoted(text);
}

std::string_view kind_name(Attribute::Kind kind) {
  return kKindNames[static_cast<size_t>(kind)];
}

std::optional<Attribute::Kind> kind_from_name(std::string_view text) {
  const auto found = std::ranges::find(kKindNames, text);
  if (found == kKindNames.end()) return std::nullopt;
  return static_cast<Attribute::Kind>(found - kKindNames.begin());
}

std::string hexadecimal(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 15];
  }
  return digits;
}

std::optional<std::string> from_hexadecimal(std::string_view digits) {
  const auto value = [](char c) {
    return c <= '9' ? c - '0' : std::tolower(static_cast<unsigned char>(c)) - 'a' + 10;
  };
  if (digits.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    for (const char c : digits.substr(i, 2)) {
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return std::nullopt;
    }
    bytes += static_cast<char>(value(digits[i]) * 16 + value(digits[i + 1]));
  }
  return bytes;
}

}  // namespace mc::syntax
