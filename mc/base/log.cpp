#include "mc/base/log.h"

#include <mutex>

namespace mc {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kReportInterval = std::chrono::milliseconds(100);

struct InstalledSink {
  std::mutex mutex;
  std::shared_ptr<LogSink> sink;
};

InstalledSink& installed() {
  static InstalledSink instance;
  return instance;
}

}  // namespace

std::shared_ptr<LogSink> set_log_sink(std::shared_ptr<LogSink> sink) {
  std::lock_guard lock(installed().mutex);
  return std::exchange(installed().sink, std::move(sink));
}

std::shared_ptr<LogSink> log_sink() {
  std::lock_guard lock(installed().mutex);
  return installed().sink;
}

void log(LogLevel level, std::string_view message) {
  if (auto sink = log_sink()) sink->log(level, message);
}

// An interval before the start, so that the first update is shown at once.
Progress::Progress(std::string title, int64_t total)
    : title_(std::move(title)), total_(total), start_(Clock::now()), last_(start_ - kReportInterval) {}

Progress::~Progress() {
  try {
    report(true);
  } catch (...) {  // a sink that cannot write must not end the program while another error unwinds
  }
}

void Progress::update(int64_t done, std::string note) {
  done_ = done;
  note_ = std::move(note);
  if (due()) report(false);
}

bool Progress::due() const {
  return Clock::now() - last_ >= kReportInterval;
}

void Progress::report(bool finished) {
  last_ = Clock::now();
  auto sink = log_sink();
  if (!sink) return;
  ProgressState state{.title = title_, .done = done_, .total = total_, .note = note_, .finished = finished};
  state.seconds = std::chrono::duration<double>(last_ - start_).count();
  if (done_ > 0 && total_ >= done_) {
    state.eta_seconds = state.seconds / static_cast<double>(done_) * static_cast<double>(total_ - done_);
  }
  sink->progress(state);
}

}  // namespace mc
