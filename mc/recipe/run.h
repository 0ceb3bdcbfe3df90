// The whole road: a recipe in, a compressed and proven model out.
#pragma once

#include <filesystem>
#include <functional>

#include "mc/base/json.h"
#include "mc/recipe/recipe.h"

namespace mc {

// Opens and tries everything that the recipe names, and checks that `output` can be written to; trains
// nothing.
void check_run(const LoadedRecipe& loaded, const std::filesystem::path& output);

// Runs the recipe in the folder `output` (run_folder.h lists its files) and gives what stands in its
// results.json. With `resume`, what is done already is taken over, and an interrupted stage goes on bit for
// bit; a run that is finished is only read. Throws Error: bad input, before any training; interrupted, or
// anything that went wrong in a stage, after which `resume` goes on from the last checkpoint. `began` is
// called once the input is found good and the folder made.
Json run_recipe(const LoadedRecipe& loaded, const std::filesystem::path& output, bool resume,
                const std::function<void()>& began = {});

}  // namespace mc
