#include "mc/report/page.h"

#include <fmt/format.h>

#include "mc/report/html.h"

namespace mc {

std::string page_html(const std::string& title, const std::string& body) {
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  html += escape_html(title) + "</title>\n<style>" + page_style() + "</style>\n</head>\n<body>\n<main>\n";
  return html + body + "</main>\n</body>\n</html>\n";
}

std::string section_html(const std::string& title, const std::string& lead, const std::string& body) {
  if (body.empty()) return "";
  std::string html = "<section>\n<h2>" + escape_html(title) + "</h2>\n";
  html += "<p class=\"lead\">" + escape_html(lead) + "</p>\n";
  return html + body + "</section>\n";
}

std::string figure_html(const std::string& title, const std::string& detail, const std::string& svg) {
  if (svg.empty()) return "";
  std::string caption = escape_html(title);
  if (!detail.empty()) caption += " <span>" + escape_html(detail) + "</span>";
  return "<figure><figcaption>" + caption + "</figcaption><div class=\"scroll\">" + svg + "</div></figure>\n";
}

std::string columns_html(const std::string& figures) {
  return figures.empty() ? "" : "<div class=\"columns\">\n" + figures + "</div>\n";
}

std::string tiles_html(const std::vector<Tile>& tiles) {
  std::string html;
  for (const Tile& tile : tiles) {
    html += fmt::format(
        "<div class=\"tile\"><dl><dt>{}</dt><dd class=\"value\">{}</dd><dd "
        "class=\"detail\">{}</dd></dl></div>\n",
        escape_html(tile.title), escape_html(tile.value), escape_html(tile.detail));
  }
  return html.empty() ? "" : "<div class=\"tiles\">\n" + html + "</div>\n";
}

}  // namespace mc
