#include "mc/base/threads.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include <sched.h>

#include "mc/base/error.h"

namespace mc {
namespace {

std::atomic<int> chosen{0};

int allowed_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) return std::max(1, CPU_COUNT(&mask));
  // More cores than a cpu_set_t holds.
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int Threads::count() {
  int n = chosen;
  return n > 0 ? n : allowed_cores();
}

void Threads::set_count(int n) {
  MC_CHECK(n >= 0, "threads must be at least 1, or 0 for all available cores; got {}", n);
  chosen = n;
}

}  // namespace mc
