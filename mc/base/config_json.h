// Config trees and JSON documents, one into the other.
#pragma once

#include "mc/base/config.h"
#include "mc/base/json.h"

namespace mc {

// The tree of `json`, without marks. Strings become quoted scalars, so that "3" stays text.
Config config_from_json(const Json& json);

// The document of `config`. A scalar without quotes becomes true, false or a number where it reads as one.
Json config_to_json(const Config& config);

}  // namespace mc
