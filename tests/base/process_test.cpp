#include <csignal>

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/threads.h"

namespace mc {
namespace {

TEST(Interrupt, TheFirstSignalSetsTheFlag) {
  for (int signal_number : {SIGINT, SIGTERM}) {
    catch_interrupts();
    set_interrupted(false);
    EXPECT_FALSE(interrupted());
    std::raise(signal_number);
    EXPECT_TRUE(interrupted());
  }
  set_interrupted(false);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProcess) {
  auto interrupt_twice = [](int second) {
    catch_interrupts();
    std::raise(SIGINT);
    std::raise(second);
    ::_exit(0);
  };
  EXPECT_EXIT(interrupt_twice(SIGINT), testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(interrupt_twice(SIGTERM), testing::KilledBySignal(SIGTERM), "");
}

TEST(Threads, FollowTheAffinityMaskUnlessSet) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(Threads::count(), CPU_COUNT(&before));

  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(Threads::count(), 1);
  sched_setaffinity(0, sizeof before, &before);

  Threads::set_count(3);
  EXPECT_EQ(Threads::count(), 3);
  Threads::set_count(0);
  EXPECT_EQ(Threads::count(), CPU_COUNT(&before));
  EXPECT_THROW(Threads::set_count(-1), Error);
}

}  // namespace
}  // namespace mc
