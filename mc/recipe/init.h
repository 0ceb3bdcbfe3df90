// Recipes to start from, made from the typed description, so that they never go out of date.
#pragma once

#include <string>
#include <vector>

namespace mc {

std::vector<std::string> template_names();

// A commented recipe. Throws Error with the names there are for one that does not exist.
std::string recipe_template(const std::string& name);

}  // namespace mc
