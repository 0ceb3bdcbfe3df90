// Commented YAML of described options (see options.h), as a recipe to start from.
#pragma once

#include <string>

#include "mc/base/json.h"
#include "mc/base/options.h"
#include "mc/base/options_json.h"

namespace mc {
namespace options_detail {

// A value in one line: [flip, {crop: 2}]; text is quoted only where YAML would read something else.
std::string yaml_flow(const Json& json);
// "# help (in [0, 1))\n", indented.
std::string yaml_comment(std::string_view help, const std::string& allowed, int indent);
std::string yaml_line(const std::string& key, const std::string& value, int indent);
// Puts "# " before every line, behind the indentation.
std::string comment_out(const std::string& block, int indent);
// Turns a map that is indented by `indent` + 2 into an item of a list: "- a: 1\n  b: 2\n".
std::string yaml_item(std::string map, int indent);

template <class T>
std::string yaml_entry(const std::string& key, const T& value, int indent);

// What a person may write there: a range, choices, or the names of alternatives.
template <class T>
std::string allowed_values(const T& value, const Constraint& constraint) {
  if constexpr (kIs<T, std::variant>) {
    return describe_constraint({.choices = alternative_names(value)});
  } else if constexpr (kIs<T, std::optional> || kIs<T, std::vector>) {
    return allowed_values(typename T::value_type{}, constraint);
  } else {
    return describe_constraint(constraint);
  }
}

class FieldYaml {
 public:
  explicit FieldYaml(int indent) : indent_(indent) {}

  template <class T>
  void field(std::string_view name, T& value, std::string_view help, const Constraint& constraint = {}) {
    text += yaml_comment(help, allowed_values(value, constraint), indent_);
    text += yaml_entry(std::string(name), value, indent_);
  }

  std::string text;

 private:
  int indent_;
};

template <Described T>
std::string struct_yaml(const T& value, int indent) {
  FieldYaml fields(indent);
  T copy = value;
  copy.describe(fields);
  return fields.text;
}

template <class T>
std::string yaml_list_item(const T& value, int indent) {
  if constexpr (kIs<T, std::variant>) {
    return std::visit(
        [&](const auto& held) { return yaml_item(yaml_entry(held.kName, held, indent + 2), indent); }, value);
  } else {
    return yaml_item(struct_yaml(value, indent + 2), indent);
  }
}

template <class T>
std::string yaml_entry(const std::string& key, const T& value, int indent) {
  if constexpr (Described<T>) {
    std::string fields = struct_yaml(value, indent + 2);
    return fields.empty() ? yaml_line(key, "{}", indent) : yaml_line(key, "", indent) + fields;
  } else if constexpr (kIs<T, std::variant>) {
    return std::visit(
        [&](const auto& held) {
          return yaml_line(key, "", indent) + yaml_entry(held.kName, held, indent + 2);
        },
        value);
  } else if constexpr (kIs<T, std::optional>) {
    if (value) return yaml_entry(key, *value, indent);
    using Inner = typename T::value_type;
    if constexpr (Structured<Inner>) return comment_out(yaml_entry(key, Inner{}, indent), indent);
    return yaml_line(key, "null", indent);
  } else if constexpr (kIs<T, std::vector>) {
    if constexpr (Structured<typename T::value_type>) {
      if (value.empty()) return yaml_line(key, "[]", indent);
      std::string text = yaml_line(key, "", indent);
      for (const auto& item : value) text += yaml_list_item(item, indent + 2);
      return text;
    }
    return yaml_line(key, yaml_flow(value_json(value)), indent);
  } else if constexpr (kIs<T, std::map>) {
    if (value.empty()) return yaml_line(key, "{}", indent);
    std::string text = yaml_line(key, "", indent);
    for (const auto& [name, item] : value) text += yaml_entry(yaml_flow(name), item, indent + 2);
    return text;
  } else {
    return yaml_line(key, yaml_flow(value_json(value)), indent);
  }
}

}  // namespace options_detail

// Every field of `values`, indented by `indent` spaces, under its help as a comment. Absent optional
// structs are shown commented out, with their defaults.
template <Described T>
std::string options_yaml(const T& values, int indent = 0) {
  return options_detail::struct_yaml(values, indent);
}

}  // namespace mc
