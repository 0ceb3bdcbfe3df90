#include "mc/base/config_json.h"

#include <charconv>
#include <cmath>
#include <cstdint>

namespace mc {
namespace {

template <class T>
bool parses(const std::string& text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Json scalar_json(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  int64_t integer = 0;
  uint64_t large = 0;
  double number = 0;
  if (parses(text, integer)) return integer;
  if (parses(text, large)) return large;
  if (parses(text, number) && std::isfinite(number)) return number;
  return text;
}

}  // namespace

Config config_from_json(const Json& json) {
  Config config;
  if (json.is_object()) {
    config.kind = Config::Kind::kMap;
    for (const auto& [key, value] : json.items())
      config.entries.push_back({key, {}, config_from_json(value)});
  } else if (json.is_array()) {
    config.kind = Config::Kind::kSequence;
    for (const Json& item : json) config.items.push_back(config_from_json(item));
  } else if (!json.is_null()) {
    config.kind = Config::Kind::kScalar;
    config.quoted = json.is_string();
    config.scalar = json.is_string() ? json.get<std::string>() : json.dump();
  }
  return config;
}

Json config_to_json(const Config& config) {
  switch (config.kind) {
    case Config::Kind::kMap: {
      Json object = Json::object();
      for (const Config::Entry& entry : config.entries) object[entry.key] = config_to_json(entry.value);
      return object;
    }
    case Config::Kind::kSequence: {
      Json array = Json::array();
      for (const Config& item : config.items) array.push_back(config_to_json(item));
      return array;
    }
    case Config::Kind::kScalar:
      return config.quoted ? Json(config.scalar) : scalar_json(config.scalar);
    case Config::Kind::kNull:
      break;
  }
  return nullptr;
}

}  // namespace mc
