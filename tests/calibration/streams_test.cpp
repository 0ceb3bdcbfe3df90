#include "mc/calibration/streams.h"

#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mc {
namespace {

class Streams : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(4); }
  void TearDown() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_F(Streams, ShareTheThreads) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::multiset<int> shares;
  run_streams(2, [&] {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
    shares.insert(at::get_num_threads());
  });
  EXPECT_EQ(threads.size(), 2u);
  EXPECT_EQ(threads.count(std::this_thread::get_id()), 1u);
  EXPECT_EQ(shares, (std::multiset<int>{2, 2}));
  EXPECT_EQ(at::get_num_threads(), 4);
}

TEST_F(Streams, OneChangesNothing) {
  int calls = 0;
  run_streams(1, [&] {
    ++calls;
    EXPECT_EQ(at::get_num_threads(), 4);
  });
  EXPECT_EQ(calls, 1);
}

TEST_F(Streams, NeverAreMoreThanTheThreads) {
  EXPECT_EQ(stream_count(), 4);
  at::set_num_threads(1);
  EXPECT_EQ(stream_count(), 1);
  at::set_num_threads(64);
  EXPECT_LT(stream_count(), 64);
}

TEST_F(Streams, RethrowWhenAllHaveEnded) {
  std::mutex mutex;
  int ended = 0;
  const auto work = [&] {
    const std::lock_guard lock(mutex);
    if (++ended == 2) throw std::runtime_error("the second");
  };
  EXPECT_THROW(run_streams(3, work), std::runtime_error);
  EXPECT_EQ(ended, 3);
  EXPECT_EQ(at::get_num_threads(), 4);
}

}  // namespace
}  // namespace mc
