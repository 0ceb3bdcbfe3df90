#include "mc/base/log.h"

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mc {
namespace {

struct Recorder : LogSink {
  struct Step {
    std::string title, note;
    int64_t done, total;
    double seconds, eta;
    bool finished;
  };
  void log(LogLevel level, std::string_view message) override { lines.emplace_back(level, message); }
  void progress(const ProgressState& s) override {
    steps.push_back(
        {std::string(s.title), std::string(s.note), s.done, s.total, s.seconds, s.eta_seconds, s.finished});
  }
  std::vector<std::pair<LogLevel, std::string>> lines;
  std::vector<Step> steps;
};

struct LogTest : testing::Test {
  LogTest() { before = set_log_sink(recorder); }
  ~LogTest() override { set_log_sink(before); }
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  std::shared_ptr<LogSink> before;
};

TEST_F(LogTest, FormatsAndPassesTheLevel) {
  info("{} of {}", 1, 2);
  warn("careful");
  using Line = std::pair<LogLevel, std::string>;
  EXPECT_THAT(recorder->lines,
              testing::ElementsAre(Line{LogLevel::kInfo, "1 of 2"}, Line{LogLevel::kWarning, "careful"}));
}

TEST_F(LogTest, WithoutASinkNothingIsSaid) {
  EXPECT_EQ(set_log_sink(nullptr), recorder);
  info("unheard");
  Progress("unheard", 1).update(1);
  EXPECT_EQ(log_sink(), nullptr);
  EXPECT_TRUE(recorder->lines.empty());
  EXPECT_TRUE(recorder->steps.empty());
}

TEST_F(LogTest, ProgressShowsTheFirstStepAndTheEnd) {
  {
    Progress progress("train", 1000);
    EXPECT_TRUE(progress.due());
    for (int i = 1; i <= 1000; ++i) progress.update(i, "loss " + std::to_string(i));
  }
  ASSERT_GE(recorder->steps.size(), 2u);
  const auto& first = recorder->steps.front();
  EXPECT_EQ(first.title, "train");
  EXPECT_EQ(first.done, 1);
  EXPECT_FALSE(first.finished);
  EXPECT_DOUBLE_EQ(first.eta, first.seconds * 999);
  const auto& last = recorder->steps.back();
  EXPECT_TRUE(last.finished);
  EXPECT_EQ(last.done, 1000);
  EXPECT_EQ(last.note, "loss 1000");
  EXPECT_EQ(last.eta, 0);
}

TEST_F(LogTest, ProgressReportsAtMostTenTimesASecond) {
  {
    Progress progress("fast", 100000);
    for (int i = 0; i < 100000; ++i) progress.update(i);
  }
  double seconds = recorder->steps.back().seconds;
  EXPECT_LE(static_cast<double>(recorder->steps.size()), 2 + seconds * 10);
}

TEST_F(LogTest, NothingDoneOrNoTotalHasNoEta) {
  {
    Progress nothing_done("a", 10);
    Progress no_total("b", 0);
    no_total.update(5);
  }
  for (const auto& step : recorder->steps) EXPECT_LT(step.eta, 0) << step.title;
}

struct BrokenSink : LogSink {
  void log(LogLevel, std::string_view) override { throw std::runtime_error("full"); }
  void progress(const ProgressState&) override { throw std::runtime_error("full"); }
};

TEST_F(LogTest, ABrokenSinkDoesNotEndTheProgram) {
  set_log_sink(std::make_shared<BrokenSink>());
  EXPECT_NO_THROW({ Progress progress("x", 1); });
  EXPECT_THROW(info("x"), std::runtime_error);
}

TEST_F(LogTest, SinksMayChangeWhileOthersLog) {
  std::thread other([] {
    for (int i = 0; i < 2000; ++i) set_log_sink(nullptr);
  });
  for (int i = 0; i < 2000; ++i) log_sink();
  other.join();
  EXPECT_EQ(log_sink(), nullptr);
}

}  // namespace
}  // namespace mc
