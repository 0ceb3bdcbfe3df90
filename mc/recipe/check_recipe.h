// What must fit together in a recipe, beyond the type and range of each value.
#pragma once

#include "mc/recipe/recipe.h"

namespace mc {

// The first stage's or model's name that stands for weights as they come, without any stage of ours.
inline constexpr const char* kOriginal = "original";
inline constexpr const char* kStart = "start";  // of `rewind`: the network as it came
inline constexpr const char* kTeacher = "teacher";

// Throws one Error that lists all misfits with line and column.
void check_recipe(const LoadedRecipe& loaded);

// The value of an override: YAML, without marks, so that nobody looks for it in the file.
Config override_value(const std::string& text);

// True where `name` can stand in a file name: letters, digits, '_', '-' and '.', not first a '.'.
bool is_file_word(const std::string& name);

}  // namespace mc
