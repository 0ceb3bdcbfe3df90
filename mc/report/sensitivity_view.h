// How much each layer costs when it is quantized, as charts and a table: rows as mc/search/sensitivity.h
// writes them.
#pragma once

#include <string>

#include "mc/base/json.h"

namespace mc {

// A section with both charts, and one with the table where bits were measured; empty without rows.
std::string sensitivity_sections(const Json& layers);

}  // namespace mc
