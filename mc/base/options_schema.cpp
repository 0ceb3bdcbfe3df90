#include "mc/base/options_schema.h"

#include <cmath>

namespace mc::options_detail {
namespace {

// 3 rather than 3.0 where the bound is whole.
Json bound(double value) {
  bool whole = std::trunc(value) == value && std::abs(value) < 0x1p53;
  return whole ? Json(static_cast<int64_t>(value)) : Json(value);
}

}  // namespace

void add_constraint(Json& schema, const Constraint& constraint) {
  if (std::isfinite(constraint.minimum)) {
    schema[constraint.exclusive_minimum ? "exclusiveMinimum" : "minimum"] = bound(constraint.minimum);
  }
  if (std::isfinite(constraint.maximum)) {
    schema[constraint.exclusive_maximum ? "exclusiveMaximum" : "maximum"] = bound(constraint.maximum);
  }
  // YAML writes a choice that is a number without quotes.
  for (const std::string& choice : constraint.choices) {
    const bool number = choice.find_first_not_of("0123456789") == std::string::npos;
    schema["enum"].push_back(number ? Json(std::stoll(choice)) : Json(choice));
    if (number) schema["type"] = {"string", "integer"};
  }
}

Json map_schema(Json properties, Json required) {
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

Json any_of(Json first, Json second) {
  Json schema = Json::object();
  schema["anyOf"] = Json::array({std::move(first), std::move(second)});
  return schema;
}

}  // namespace mc::options_detail
