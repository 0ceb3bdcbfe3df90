// What the program says: results on stdout, everything else on stderr.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "mc/base/json.h"
#include "mc/base/log.h"

namespace mc {

// On a terminal one line that changes in place, with colors unless NO_COLOR is set; elsewhere plain lines,
// one every few seconds.
class TerminalSink : public LogSink {
 public:
  TerminalSink();
  ~TerminalSink() override;
  void log(LogLevel level, std::string_view message) override;
  void progress(const ProgressState& state) override;

 private:
  void clear_line();
  void show_live(const ProgressState& state);
  void show_plain(const ProgressState& state);

  std::mutex mutex_;
  bool live_;  // stderr is a terminal
  bool color_;
  bool line_shown_ = false;
  std::chrono::steady_clock::time_point last_plain_;
};

// "train, epoch 1 of 3  [######----]  61 %  12 s left  loss 0.31"; without the bar when `width` is 0.
std::string progress_text(const ProgressState& state, int width);

// What a command says to a caller in the same process.
struct Captured {
  std::string text;      // what print() would write to stdout
  std::string document;  // what the command reports, as JSON; empty where it reports nothing
};

// From now on print() and present() write to `place` (null: to stdout); gives the place before it.
Captured* capture_output(Captured* place);

void print(std::string_view text);           // to stdout, as it is
void print_json(const Json& json);           // to stdout, indented, with a line break
void print_error(std::string_view message);  // "error: ..." to stderr

// What a command reports: with `json` its document, else what `text` prints; a capture has the document too.
void present(bool json, const std::function<Json()>& document, const std::function<void()>& text);

// Rows of cells as text, columns aligned: to the right where all cells below the head are numbers.
std::string align(const std::vector<std::vector<std::string>>& rows);

}  // namespace mc
