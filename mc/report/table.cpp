#include "mc/report/table.h"

#include <algorithm>

#include "mc/report/html.h"

namespace mc {
namespace {

// Characters, not bytes: names may be UTF-8.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string aligned(const std::string& text, size_t to, bool right) {
  const std::string space(to - std::min(to, width(text)), ' ');
  return right ? space + text : text + space;
}

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

const char* tone_class(Tone tone) {
  switch (tone) {
    case Tone::kGood:
      return "good";
    case Tone::kBad:
      return "bad";
    case Tone::kMuted:
      return "muted";
    case Tone::kPlain:
      break;
  }
  return "";
}

std::string classes(bool numeric, Tone tone) {
  std::string names = numeric ? "num" : "";
  if (tone != Tone::kPlain) names += std::string(names.empty() ? "" : " ") + tone_class(tone);
  return names.empty() ? "" : " class=\"" + names + "\"";
}

}  // namespace

std::string to_text(const Table& table) {
  if (table.empty()) return "";
  std::vector<size_t> widths;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    size_t widest = width(table.columns[i].title);
    for (const auto& row : table.rows) widest = std::max(widest, width(row[i].text));
    widths.push_back(widest);
  }
  std::string head;
  std::string rule;
  for (size_t i = 0; i < widths.size(); ++i) {
    head += (i ? "  " : "") + aligned(table.columns[i].title, widths[i], table.columns[i].numeric);
    rule += (i ? "  " : "") + std::string(widths[i], '-');
  }
  std::string text = table.caption + "\n" + trimmed(head) + rule + "\n";
  for (const auto& row : table.rows) {
    std::string line;
    for (size_t i = 0; i < widths.size(); ++i) {
      line += (i ? "  " : "") + aligned(row[i].text, widths[i], table.columns[i].numeric);
    }
    text += trimmed(line);
  }
  return text;
}

std::string to_html(const Table& table, bool show_caption) {
  if (table.empty()) return "";
  std::string html = "<div class=\"scroll\"><table>\n<caption";
  html += show_caption ? ">" : " class=\"unseen\">";
  html += escape_html(table.caption) + "</caption>\n<thead><tr>";
  for (const Column& column : table.columns) {
    html += "<th scope=\"col\"" + classes(column.numeric, Tone::kPlain) + ">" + escape_html(column.title) +
            "</th>";
  }
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string attributes = classes(table.columns[i].numeric, row[i].tone);
      const std::string content = escape_html(row[i].text);
      html += i == 0 ? "<th scope=\"row\"" + attributes + ">" + content + "</th>"
                     : "<td" + attributes + ">" + content + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n";
}

}  // namespace mc
