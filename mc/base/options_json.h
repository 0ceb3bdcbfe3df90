// Dumps the values of described options (see options.h) as JSON.
#pragma once

#include "mc/base/config_json.h"
#include "mc/base/json.h"
#include "mc/base/options.h"

namespace mc {
namespace options_detail {

template <class T>
Json value_json(const T& value);

class FieldDumper {
 public:
  template <class T>
  void field(std::string_view name, T& value, std::string_view, const Constraint& = {}) {
    object[std::string(name)] = value_json(value);
  }

  Json object = Json::object();
};

template <class T>
Json value_json(const T& value) {
  if constexpr (std::same_as<T, Config>) {
    return config_to_json(value);
  } else if constexpr (Described<T>) {
    FieldDumper dumper;
    T copy = value;  // describe() may set fields, so it is not const
    copy.describe(dumper);
    return dumper.object;
  } else if constexpr (kIs<T, std::variant>) {
    return std::visit([](const auto& held) { return Json{{held.kName, value_json(held)}}; }, value);
  } else if constexpr (kIs<T, std::optional>) {
    if (value) return value_json(*value);
    using Inner = typename T::value_type;
    return Structured<Inner> ? Json(false) : Json(nullptr);
  } else if constexpr (kIs<T, std::vector>) {
    Json array = Json::array();
    for (const typename T::value_type& item : value) array.push_back(value_json(item));
    return array;
  } else if constexpr (kIs<T, std::map>) {
    Json object = Json::object();
    for (const auto& [key, item] : value) object[key] = value_json(item);
    return object;
  } else if constexpr (std::same_as<T, std::filesystem::path>) {
    return value.string();
  } else {
    return value;
  }
}

}  // namespace options_detail

// All values, defaults too. read_options(config_from_json(...)) of it gives the same values; an absent
// optional struct is `false`, any other absent optional null.
template <Described T>
Json options_json(const T& options) {
  return options_detail::value_json(options);
}

}  // namespace mc
