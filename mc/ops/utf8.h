// Code points of UTF-8 text. Internal to the room.
#pragma once

#include <string>
#include <string_view>

namespace mc {

// A byte that begins no valid sequence becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);
void append_utf8(std::string& text, char32_t code);

// Unicode's simple mapping, one code point to one, the same in every language (glibc's C.UTF-8 locale; ASCII
// only where the system has none).
char32_t lower_case(char32_t code);
char32_t upper_case(char32_t code);

}  // namespace mc
