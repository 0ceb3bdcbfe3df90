// A JSON Schema (draft 2020-12) of described options (see options.h), for editors that complete recipes.
#pragma once

#include <type_traits>

#include "mc/base/json.h"
#include "mc/base/options.h"
#include "mc/base/options_json.h"

namespace mc {
namespace options_detail {

// Adds "minimum", "exclusiveMaximum", "enum"...
void add_constraint(Json& schema, const Constraint& constraint);
Json map_schema(Json properties, Json required);
Json any_of(Json first, Json second);

template <class T>
Json value_schema(const T& value, const Constraint& constraint);

class FieldSchema {
 public:
  template <class T>
  void field(std::string_view name, T& value, std::string_view help, const Constraint& constraint = {}) {
    Json& property = properties[std::string(name)];
    property["description"] = help;
    property.update(value_schema(value, constraint));
    if (constraint.required) {
      required.push_back(name);
    } else if constexpr (!Structured<T> && !std::same_as<T, Config>) {
      Json current = value_json(value);
      bool absent = current.is_null() || (kIs<T, std::optional> && current == false);
      if (!absent || std::same_as<T, bool>) property["default"] = std::move(current);
    }
  }

  Json properties = Json::object();
  Json required = Json::array();
};

template <Described T>
Json struct_schema(const T& value) {
  FieldSchema fields;
  T copy = value;
  copy.describe(fields);
  Json schema = map_schema(fields.properties, fields.required);
  if constexpr (HasShorthand<T>) {
    Json scalar = fields.properties[T::kShorthand];
    return any_of(std::move(schema), std::move(scalar));
  } else {
    return schema;
  }
}

template <class... A>
Json variant_schema(const std::variant<A...>& value) {
  Json choices = Json::array();
  choices.push_back({{"enum", alternative_names(value)}});
  auto add = [&]<class T>(std::type_identity<T>) {
    const T* held = std::get_if<T>(&value);
    Json body = struct_schema(held ? *held : T{});
    Json properties = {{T::kName, any_of(std::move(body), {{"type", "null"}})}};
    choices.push_back(map_schema(std::move(properties), Json::array({T::kName})));
  };
  (add(std::type_identity<A>{}), ...);
  return {{"anyOf", std::move(choices)}};
}

template <class T>
Json value_schema(const T& value, const Constraint& constraint) {
  if constexpr (std::same_as<T, Config>) {
    return Json::object();
  } else if constexpr (Described<T>) {
    return any_of(struct_schema(value), {{"type", "null"}});
  } else if constexpr (kIs<T, std::variant>) {
    return variant_schema(value);
  } else if constexpr (kIs<T, std::optional>) {
    using Inner = typename T::value_type;
    Json off = Structured<Inner> ? Json{{"enum", {false, nullptr}}} : Json{{"type", "null"}};
    return any_of(value_schema(value.value_or(Inner{}), constraint), std::move(off));
  } else if constexpr (kIs<T, std::vector>) {
    Json item = value_schema(typename T::value_type{}, constraint);
    return any_of({{"type", "array"}, {"items", item}}, item);
  } else if constexpr (kIs<T, std::map>) {
    Json item = value_schema(typename T::mapped_type{}, constraint);
    return {{"type", "object"}, {"additionalProperties", std::move(item)}};
  } else {
    Json schema = Json::object();
    schema["type"] = std::same_as<T, bool>    ? "boolean"
                     : std::integral<T>       ? "integer"
                     : std::floating_point<T> ? "number"
                                              : "string";
    if (std::unsigned_integral<T> && !std::same_as<T, bool>) schema["minimum"] = 0;
    add_constraint(schema, constraint);
    return schema;
  }
}

}  // namespace options_detail

// The schema of a whole document of options T, with descriptions, defaults and ranges.
template <Described T>
Json options_schema() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}};
  schema.update(options_detail::struct_schema(T{}));
  return schema;
}

}  // namespace mc
