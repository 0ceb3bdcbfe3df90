// One name for JSON; objects keep the order in which keys were written.
#pragma once

#include <nlohmann/json.hpp>

namespace mc {

using Json = nlohmann::ordered_json;

}  // namespace mc
