#include "mc/base/options_yaml.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "mc/base/text.h"

namespace mc::options_detail {
namespace {

std::string spaces(int n) {
  return std::string(static_cast<size_t>(n), ' ');
}

bool is_word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == '/';
}

// Text that every YAML parser takes for text: a word that begins like one and is no constant.
bool is_plain_text(const std::string& text) {
  static constexpr std::array kConstants = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
  if (text.empty() || !(std::isalpha(static_cast<unsigned char>(text[0])) || text[0] == '/')) return false;
  if (!std::all_of(text.begin(), text.end(), is_word_character)) return false;
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kConstants.begin(), kConstants.end(), lower) == kConstants.end();
}

}  // namespace

std::string yaml_flow(const Json& json) {
  std::vector<std::string> parts;
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) parts.push_back(yaml_flow(key) + ": " + yaml_flow(value));
    return "{" + join(parts, ", ") + "}";
  }
  if (json.is_array()) {
    for (const Json& item : json) parts.push_back(yaml_flow(item));
    return "[" + join(parts, ", ") + "]";
  }
  if (json.is_string() && is_plain_text(json.get<std::string>())) return json.get<std::string>();
  // JSON's quoted strings, numbers and constants are YAML's.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string yaml_comment(std::string_view help, const std::string& allowed, int indent) {
  std::string suffix = allowed.empty() ? "" : " (" + allowed + ")";
  return fmt::format("{}# {}{}\n", spaces(indent), help, suffix);
}

std::string yaml_line(const std::string& key, const std::string& value, int indent) {
  return fmt::format("{}{}:{}{}\n", spaces(indent), key, value.empty() ? "" : " ", value);
}

std::string comment_out(const std::string& block, int indent) {
  std::string text;
  std::vector<std::string> lines = split(block, '\n');
  lines.pop_back();  // what follows the last line's end
  for (const std::string& line : lines) {
    text += spaces(indent) + "# " + line.substr(static_cast<size_t>(indent)) + "\n";
  }
  return text;
}

std::string yaml_item(std::string map, int indent) {
  if (map.empty()) return spaces(indent) + "- {}\n";
  map[static_cast<size_t>(indent)] = '-';
  return map;
}

}  // namespace mc::options_detail
