// Reads of a document whose parts may be missing, null or of another type: those read as absent.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "mc/base/json.h"

namespace mc {

inline const Json& part(const Json& object, const char* key) {
  static const Json absent;
  if (!object.is_object()) return absent;
  auto found = object.find(key);
  return found == object.end() ? absent : *found;
}

// The list at `key`; an empty one when there is none.
inline const Json& list_at(const Json& object, const char* key) {
  static const Json empty = Json::array();
  const Json& value = part(object, key);
  return value.is_array() ? value : empty;
}

inline std::string text_at(const Json& object, const char* key) {
  const Json& value = part(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// The last part of the path at `key`.
inline std::string file_name_at(const Json& object, const char* key) {
  return std::filesystem::path(text_at(object, key)).filename().string();
}

inline std::optional<double> number_at(const Json& object, const char* key) {
  const Json& value = part(object, key);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

inline bool true_at(const Json& object, const char* key) {
  const Json& value = part(object, key);
  return value.is_boolean() && value.get<bool>();
}

}  // namespace mc
