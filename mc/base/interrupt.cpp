#include "mc/base/interrupt.h"

#include <atomic>
#include <csignal>

#include <signal.h>

namespace mc {
namespace {

std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void handle(int signal_number) {
  if (flag.exchange(true)) {
    std::signal(signal_number, SIG_DFL);
    std::raise(signal_number);  // delivered when the handler returns
  }
}

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;  // reads and writes under way continue
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return flag.load(std::memory_order_relaxed);
}
void set_interrupted(bool value) {
  flag = value;
}

}  // namespace mc
