// Budgets as people write them.
#include <cmath>
#include <cstdlib>

#include "mc/base/error.h"
#include "mc/search/budget.h"

namespace mc {

std::string name_of(Budget::Kind kind) {
  switch (kind) {
    case Budget::Kind::kSize:
      return "size";
    case Budget::Kind::kBops:
      return "bops";
    case Budget::Kind::kLatency:
      break;
  }
  return "latency";
}

Budget parse_budget(Budget::Kind kind, const std::string& text) {
  Budget budget{kind};
  char* end = nullptr;
  budget.limit = std::strtod(text.c_str(), &end);
  std::string suffix = end;
  const bool number = end != text.c_str();
  double factor = 1;
  if (suffix == "x") {
    budget.relative = true;
  } else if (kind != Budget::Kind::kLatency && suffix.size() == 1) {
    const size_t power = std::string("kMGT").find(suffix == "K" ? "k" : suffix);
    if (power != std::string::npos) {
      factor = std::pow(1000, static_cast<double>(power) + 1);
      suffix.clear();
    }
  }
  const bool known = budget.relative || suffix.empty();
  const char* unit = kind == Budget::Kind::kSize   ? "bytes, as in 500k or 1.5M"
                     : kind == Budget::Kind::kBops ? "bit operations, as in 40G"
                                                   : "milliseconds, as in 2.5";
  MC_CHECK(number && known && std::isfinite(budget.limit) && budget.limit > 0,
           "the {} budget '{}' is neither a part of the float model's, as in 0.25x, nor {}", name_of(kind),
           text, unit);
  budget.limit *= factor;
  return budget;
}

}  // namespace mc
