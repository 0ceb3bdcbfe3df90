// What `quantize` and `sensitivity` found, as a page for the browser, made from their JSON documents alone
// (docs/cli.md). A part that the document lacks is left out.
#pragma once

#include <string>

#include "mc/base/json.h"

namespace mc {

// One self-contained page (no scripts, nothing from the network; charts are inline SVG). Throws Error when
// the document is none of model-compression/quantize/1, quantize-ladder/1, sensitivity/1.
std::string quantize_page(const Json& document);

}  // namespace mc
