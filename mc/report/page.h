// The parts that pages are made of: self-contained HTML without scripts and without anything from the
// network.
#pragma once

#include <string>
#include <vector>

#include "mc/report/tiles.h"

namespace mc {

// The whole document around its body; the title as text.
std::string page_html(const std::string& title, const std::string& body);

// A card with a heading and a sentence; empty where the body is. Title and lead as text, the body as HTML.
std::string section_html(const std::string& title, const std::string& lead, const std::string& body);

// A chart under its title; empty without one.
std::string figure_html(const std::string& title, const std::string& detail, const std::string& svg);

// Figures side by side where there is room; empty without any.
std::string columns_html(const std::string& figures);

// Empty without tiles.
std::string tiles_html(const std::vector<Tile>& tiles);

}  // namespace mc
