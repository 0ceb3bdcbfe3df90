#include "mc/report/html.h"

#include <cstdint>

namespace mc {
namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when there is none (RFC 3629).
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xc2 && first < 0xe0 ? 2
                        : (first & 0xf0) == 0xe0        ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool beyond = (first == 0xed && byte(1) >= 0xa0) || (first == 0xf4 && byte(1) >= 0x90);
  return overlong || beyond ? 0 : length;
}

std::string span(const char* kind, std::string_view text) {
  if (text.empty()) return "";
  return std::string("<span class=\"") + kind + "\">" + escape_html(text) + "</span>";
}

// The comment of a line begins at a # that starts it or follows a space, outside quotes.
size_t comment_start(std::string_view line) {
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#' && (i == 0 || line[i - 1] == ' ')) {
      return i;
    }
  }
  return line.size();
}

std::string highlight_line(std::string_view line) {
  const size_t comment = comment_start(line);
  const std::string_view content = line.substr(0, comment);
  std::string html;
  size_t start = content.find_first_not_of(" -");
  if (start == std::string_view::npos) start = content.size();
  size_t colon = content.find(':', start);
  const bool key = colon != std::string_view::npos &&
                   content.substr(start, colon - start).find_first_of("{}[]\"', ") == std::string_view::npos;
  html += escape_html(content.substr(0, start));
  if (key) {
    html += span("key", content.substr(start, colon - start)) + escape_html(content.substr(colon));
  } else {
    html += escape_html(content.substr(start));
  }
  return html + span("note", line.substr(comment));
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text[0];
    const bool control = static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t';
    if (length == 0 || control || c == 0x7f) {
      result += "\xef\xbf\xbd";
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (c == '\'') {
      result += "&#39;";
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

std::string highlight_yaml(std::string_view yaml) {
  std::string html;
  while (!yaml.empty()) {
    const size_t end = yaml.find('\n');
    html += highlight_line(yaml.substr(0, end));
    if (end == std::string_view::npos) break;
    html += "\n";
    yaml.remove_prefix(end + 1);
  }
  return html;
}

}  // namespace mc
