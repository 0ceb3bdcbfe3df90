// YAML text -> Config, with the line and column of every key and value.
#pragma once

#include <string>

#include "mc/base/config.h"

namespace mc {

// Reads one document of YAML 1.2. Anchors, aliases and merge keys (`<<`) are resolved; keys that stand
// twice in one map are both passed on, so that whoever reads options can name both lines. Nothing at all
// gives a null Config. Throws Error with line and column for text that is no YAML, for a second document,
// for keys that are not scalars, and for text that nests deeper than 64 levels or grows through aliases to
// more than 100,000 values.
Config parse_yaml(const std::string& text);

}  // namespace mc
