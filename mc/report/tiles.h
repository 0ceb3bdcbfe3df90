// What a run comes to, in a few large figures at the head of the page.
#pragma once

#include <string>
#include <vector>

#include "mc/report/run_view.h"

namespace mc {

struct Tile {
  std::string title;
  std::string value;
  std::string detail;
};

// Those that the document has figures for: accuracy, size, speed, agreement and sparsity of the final model.
std::vector<Tile> headline(const RunView& run);

}  // namespace mc
