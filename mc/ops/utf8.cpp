#include "mc/ops/utf8.h"

#include <cwctype>

#include <locale.h>

namespace mc {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kLastCode = 0x10FFFF;

// Null where the system has no such locale. Lives as long as the program.
locale_t unicode_locale() {
  static const locale_t instance = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return instance;
}

// Bytes behind the first of a sequence; -1 where it begins none.
int following_bytes(unsigned char first) {
  if (first < 0x80) return 0;
  if (first >= 0xC2 && first < 0xE0) return 1;
  if (first >= 0xE0 && first < 0xF0) return 2;
  return first >= 0xF0 && first < 0xF5 ? 3 : -1;
}

bool valid_code(char32_t code, int following) {
  if (code > kLastCode || (code >= 0xD800 && code < 0xE000)) return false;
  return following < 2 || code >= (following == 2 ? 0x800u : 0x10000u);  // written no longer than needed
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const int following = following_bytes(first);
    bool valid = following >= 0 && i + static_cast<size_t>(following) < text.size();
    char32_t code = following > 0 ? first & (0x3F >> following) : first;
    for (int k = 1; valid && k <= following; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + static_cast<size_t>(k)]);
      valid = (byte & 0xC0) == 0x80;
      code = (code << 6) | (byte & 0x3F);
    }
    valid = valid && valid_code(code, following);
    codes.push_back(valid ? code : kReplacement);
    i += valid ? static_cast<size_t>(following) + 1 : 1;
  }
  return codes;
}

void append_utf8(std::string& text, char32_t code) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | (code >> 6));
    add(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    add(0xE0 | (code >> 12));
    add(0x80 | ((code >> 6) & 0x3F));
    add(0x80 | (code & 0x3F));
  } else {
    add(0xF0 | (code >> 18));
    add(0x80 | ((code >> 12) & 0x3F));
    add(0x80 | ((code >> 6) & 0x3F));
    add(0x80 | (code & 0x3F));
  }
}

char32_t lower_case(char32_t code) {
  if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + 32 : code;
  const locale_t locale = unicode_locale();
  return locale ? static_cast<char32_t>(towlower_l(static_cast<wint_t>(code), locale)) : code;
}

char32_t upper_case(char32_t code) {
  if (code < 0x80) return code >= 'a' && code <= 'z' ? code - 32 : code;
  const locale_t locale = unicode_locale();
  return locale ? static_cast<char32_t>(towupper_l(static_cast<wint_t>(code), locale)) : code;
}

}  // namespace mc
