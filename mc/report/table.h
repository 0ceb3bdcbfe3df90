// A table of text, shown in the terminal or on the page.
#pragma once

#include <string>
#include <vector>

namespace mc {

enum class Tone { kPlain, kGood, kBad, kMuted };

struct Cell {
  std::string text;
  Tone tone = Tone::kPlain;

  Cell(std::string t, Tone o = Tone::kPlain) : text(std::move(t)), tone(o) {}  // NOLINT: text is a cell
  Cell(const char* t) : text(t) {}                                             // NOLINT
};

struct Column {
  std::string title;
  bool numeric = false;  // aligned to the right
};

struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;  // as many cells as columns

  bool empty() const { return rows.empty(); }
};

// Fixed-width text with the caption above; empty for an empty table.
std::string to_text(const Table& table);

// A <table>, everything escaped; empty for an empty table. A caption that only repeats a heading can be kept
// from sight: screen readers still have it.
std::string to_html(const Table& table, bool show_caption = true);

}  // namespace mc
