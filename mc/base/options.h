// Typed options, described once. A struct lists its fields in
//
//   struct SgdOptions {
//     static constexpr const char* kName = "sgd";   // only for alternatives of a std::variant
//     double lr = 0.1;
//     template <class V> void describe(V& v) {
//       v.field("lr", lr, "peak learning rate", above(0));
//     }
//   };
//
// and gets, each from a header of its own,
//   options_read.h    read_options: parsing, with line and column in every message
//   options_schema.h  options_schema: a JSON Schema
//   options_yaml.h    options_yaml: commented YAML of its values
//   options_json.h    options_json: a dump of its values.
//
// Field types: bool, integers, float and double (finite), std::string, std::filesystem::path,
// std::optional<T>, std::vector<T>, std::map<std::string, T>, Config (anything; read by someone else),
// another described struct, and std::variant<A, B...> of described structs with kName, written as `a` or
// `{a: {...}}`. A vector field also accepts a single value. Described structs are default-constructible.
//
// A struct may also have
//   static constexpr const char* kShorthand = "lr";   a scalar or list in its place sets that field
//   void check() const;                               throws Error when its fields do not fit together
#pragma once

#include <concepts>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mc {

// What a field's value must satisfy; for a vector, optional or map, what each value in it must. Default:
// anything of its type.
struct Constraint {
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool exclusive_minimum = false;
  bool exclusive_maximum = false;
  std::vector<std::string> choices = {};  // for strings
  bool required = false;
};

inline Constraint at_least(double low) {
  return {.minimum = low};
}
inline Constraint above(double low) {
  return {.minimum = low, .exclusive_minimum = true};
}
inline Constraint between(double low, double high) {
  return {.minimum = low, .maximum = high};
}
inline Constraint in_half_open(double low, double high) {
  return {.minimum = low, .maximum = high, .exclusive_maximum = true};
}
inline Constraint one_of(std::vector<std::string> choices) {
  return {.choices = std::move(choices)};
}
inline Constraint required() {
  return {.required = true};
}

// "in [0, 1)", "at least 1", "one of adam, sgd", or empty when anything goes.
std::string describe_constraint(const Constraint& constraint);

namespace options_detail {

struct AnyVisitor {
  template <class T>
  void field(std::string_view name, T& value, std::string_view help, const Constraint& constraint = {});
};

template <class T, template <class...> class Template>
inline constexpr bool kIs = false;
template <class... Args, template <class...> class Template>
inline constexpr bool kIs<Template<Args...>, Template> = true;

}  // namespace options_detail

template <class T>
concept Described = requires(T& value, options_detail::AnyVisitor& visitor) { value.describe(visitor); };

namespace options_detail {

// What is written as a map of its own, so that `name:` alone already means something.
template <class T>
concept Structured = Described<T> || kIs<T, std::variant>;

template <class T>
concept HasShorthand = requires { T::kShorthand; };

template <class T>
concept HasCheck = requires(const T& value) { value.check(); };

template <class T>
concept Text = std::same_as<T, std::string> || std::same_as<T, std::filesystem::path>;

template <class... A>
std::vector<std::string> alternative_names(const std::variant<A...>&) {
  return {A::kName...};
}

}  // namespace options_detail
}  // namespace mc
