// What `prune` did to a model, as a page for the browser, made from its JSON document alone (docs/cli.md). A
// part that the document lacks is left out.
#pragma once

#include <string>

#include "mc/base/json.h"

namespace mc {

// One self-contained page (no scripts, nothing from the network; charts are inline SVG). Throws Error when
// the document is not of the schema model-compression/prune/1.
std::string prune_page(const Json& document);

}  // namespace mc
