// What the library has to say while it works. The library never prints: it talks to the installed sink;
// without one, nothing is said. The command line installs a sink that writes to stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace mc {

enum class LogLevel { kDebug, kInfo, kWarning };

struct ProgressState {
  std::string_view title;   // what is being done: "train, epoch 2 of 3"
  int64_t done = 0;         // units finished
  int64_t total = 0;        // units in all; 0 when unknown
  std::string_view note;    // figures to show beside it: "loss 0.312  top1 0.894"
  double seconds = 0;       // since it began
  double eta_seconds = -1;  // to the end; negative when unknown
  bool finished = false;
};

// Receives everything; must be safe to call from several threads.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void log(LogLevel level, std::string_view message) = 0;
  virtual void progress(const ProgressState& state) = 0;
};

// Installs `sink` (null: silence) and returns the one before it.
std::shared_ptr<LogSink> set_log_sink(std::shared_ptr<LogSink> sink);
std::shared_ptr<LogSink> log_sink();

void log(LogLevel level, std::string_view message);

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

// One piece of work with progress; reports at most ten times a second, and once when it ends.
class Progress {
 public:
  Progress(std::string title, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done, std::string note = {});
  bool due() const;  // true when the next update would be shown, so that costly notes are made only then

 private:
  void report(bool finished);

  std::string title_;
  std::string note_;
  int64_t done_ = 0;
  int64_t total_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace mc
