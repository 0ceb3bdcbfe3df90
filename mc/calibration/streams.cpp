#include "mc/calibration/streams.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <ATen/Parallel.h>

namespace mc {
namespace {

constexpr int64_t kMostStreams = 4;

// LibTorch's threads of this process and of the calling thread, for a while.
class ThreadShare {
 public:
  explicit ThreadShare(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~ThreadShare() { at::set_num_threads(before_); }
  ThreadShare(const ThreadShare&) = delete;
  ThreadShare& operator=(const ThreadShare&) = delete;

 private:
  int before_;
};

}  // namespace

int64_t stream_count() {
  return std::clamp<int64_t>(at::get_num_threads(), 1, kMostStreams);
}

void run_streams(int64_t count, const std::function<void()>& work) {
  if (count <= 1) return work();
  const ThreadShare share(std::max(1, at::get_num_threads() / static_cast<int>(count)));
  std::mutex mutex;
  std::exception_ptr first;
  const auto guarded = [&] {
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (int64_t i = 1; i < count; ++i) {
    threads.emplace_back([&] {
      at::get_num_threads();  // takes over the share
      guarded();
    });
  }
  guarded();
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace mc
