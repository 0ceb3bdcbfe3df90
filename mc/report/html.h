// Text on its way into HTML.
#pragma once

#include <string>
#include <string_view>

namespace mc {

// For element content and quoted attributes. Bytes that are not UTF-8 and control characters become U+FFFD.
std::string escape_html(std::string_view text);

// Escaped YAML with its keys, comments and scalars marked for the style sheet.
std::string highlight_yaml(std::string_view yaml);

// The page's style sheet: light and dark, narrow and wide.
const char* page_style();

}  // namespace mc
