#include "mc/cli/terminal.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

#include "mc/base/text.h"

namespace mc {
namespace {

constexpr auto kPlainInterval = std::chrono::seconds(5);
constexpr double kWorthKeeping = 1.0;  // seconds: shorter work leaves no line behind
constexpr int kBarWidth = 20;

bool wants_color() {
  const char* no_color = std::getenv("NO_COLOR");
  return !no_color || !*no_color;
}

size_t terminal_width() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

Captured* captured = nullptr;

std::string dumped(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

void write_error(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

bool is_number(const std::string& text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-');
}

}  // namespace

TerminalSink::TerminalSink()
    : live_(isatty(STDERR_FILENO) != 0), color_(live_ && wants_color()), last_plain_() {}

TerminalSink::~TerminalSink() {
  clear_line();
}

void TerminalSink::clear_line() {
  if (line_shown_) write_error("\r\x1b[K");
  line_shown_ = false;
}

void TerminalSink::log(LogLevel level, std::string_view message) {
  if (level == LogLevel::kDebug) return;
  std::lock_guard lock(mutex_);
  clear_line();
  std::string head;
  if (level == LogLevel::kWarning) head = color_ ? "\x1b[33mwarning:\x1b[0m " : "warning: ";
  write_error(fmt::format("{}{}\n", head, message));
}

void TerminalSink::progress(const ProgressState& state) {
  std::lock_guard lock(mutex_);
  live_ ? show_live(state) : show_plain(state);
}

void TerminalSink::show_live(const ProgressState& state) {
  clear_line();
  if (state.finished && state.seconds < kWorthKeeping) return;
  std::string text = progress_text(state, kBarWidth);
  if (text.size() >= terminal_width()) text.resize(terminal_width() - 1);
  write_error(text + (state.finished ? "\n" : ""));
  line_shown_ = !state.finished;
}

void TerminalSink::show_plain(const ProgressState& state) {
  const auto now = std::chrono::steady_clock::now();
  if (state.finished ? state.seconds < kWorthKeeping : now - last_plain_ < kPlainInterval) return;
  last_plain_ = now;
  write_error(progress_text(state, 0) + "\n");
}

std::string progress_text(const ProgressState& state, int width) {
  std::string text(state.title);
  if (state.total > 0) {
    const double part =
        std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
    if (width > 0) {
      const int full = static_cast<int>(part * width);
      text += fmt::format("  [{:#<{}}{:-<{}}]", "", full, "", width - full);
    }
    text += fmt::format("  {:3.0f} %", 100 * part);
  }
  if (state.finished) {
    text += "  " + human_seconds(state.seconds);
  } else if (state.eta_seconds >= 0) {
    text += fmt::format("  {} left", human_seconds(state.eta_seconds));
  }
  if (!state.note.empty()) text += fmt::format("  {}", state.note);
  return text;
}

Captured* capture_output(Captured* place) {
  return std::exchange(captured, place);
}

void print(std::string_view text) {
  if (captured) {
    captured->text.append(text);
    return;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_json(const Json& json) {
  print(dumped(json) + "\n");
}

void present(bool json, const std::function<Json()>& document, const std::function<void()>& text) {
  if (captured) captured->document = dumped(document());
  json ? print_json(document()) : text();
}

void print_error(std::string_view message) {
  const bool color = isatty(STDERR_FILENO) && wants_color();
  write_error(fmt::format("{}error:{} {}\n", color ? "\x1b[31m" : "", color ? "\x1b[0m" : "", message));
}

std::string align(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  std::vector<bool> right;
  for (size_t r = 0; r < rows.size(); ++r) {
    widths.resize(std::max(widths.size(), rows[r].size()), 0);
    right.resize(widths.size(), true);
    for (size_t c = 0; c < rows[r].size(); ++c) {
      widths[c] = std::max(widths[c], rows[r][c].size());
      if (r > 0 && !rows[r][c].empty()) right[c] = right[c] && is_number(rows[r][c]);
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      if (c > 0) line += "  ";
      line += right[c] ? fmt::format("{:>{}}", row[c], widths[c]) : fmt::format("{:<{}}", row[c], widths[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace mc
