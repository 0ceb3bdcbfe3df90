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
// and gets parsing with line and column (read_options), a JSON Schema (options_schema), commented YAML
// defaults (options_yaml), and a dump of its values (options_json). Field types: bool, integers, double,
// std::string, std::filesystem::path, std::optional<T>, std::vector<T>, std::map<std::string, T>,
// another described struct, and std::variant<A, B...> of described structs with kName, written as
// `a`, `{a: {...}}`. A vector field also accepts a single value.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace mc {

// What a field's value must satisfy. Default: anything of its type.
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

}  // namespace mc
