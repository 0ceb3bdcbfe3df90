#include "mc/search/ladder.h"

#include "tests/search/search_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using testing::SearchFiles;

Goal least_snr(double db) {
  Goal goal;
  goal.min_snr_db = db;
  return goal;
}

double snr_on_disk(const SearchFiles& files) {
  const Judge judge(files.model, files.ladder_data().judge, "torch", {});
  return judge.judge(files.output).snr_db;
}

TEST(Ladder, StopsAtTheFirstRungThatHolds) {
  const SearchFiles files;
  const LadderResult result = climb_ladder(files.options(least_snr(1)), files.ladder_data());
  EXPECT_TRUE(result.holds);
  ASSERT_EQ(result.steps.size(), 1U);
  EXPECT_EQ(result.steps[0].rung, "min-max");
  EXPECT_NEAR(snr_on_disk(files), result.steps[0].judgement->snr_db, 1e-6);
}

TEST(Ladder, LeavesFloatWhatHurtsMost) {
  const SearchFiles files;
  double all = 0, some = 0;  // best SNR with everything quantized, and with parts left float
  for (const LadderStep& step : climb_ladder(files.options(least_snr(190)), files.ladder_data()).steps) {
    double& best = step.rung == "mixed precision" ? some : all;
    best = std::max(best, step.judgement.value().snr_db);
  }
  ASSERT_GT(some, all);
  const LadderResult result = climb_ladder(files.options(least_snr((some + all) / 2)), files.ladder_data());
  ASSERT_TRUE(result.holds);
  const LadderStep& best = result.steps[*result.best];
  EXPECT_EQ(best.rung, "mixed precision");
  EXPECT_GE(best.judgement->snr_db, (some + all) / 2);
  ASSERT_FALSE(best.options.keep_float.empty());
  EXPECT_EQ(best.options.keep_float[0], most_sensitive_first(result.sensitivity)[0]);
  EXPECT_NEAR(snr_on_disk(files), best.judgement->snr_db, 1e-6);
}

TEST(Ladder, KeepsTheBestWhereTheGoalIsOutOfReach) {
  const SearchFiles files;
  const LadderResult result = climb_ladder(files.options(least_snr(190)), files.ladder_data());
  EXPECT_FALSE(result.holds);
  double best = -1e9;
  for (const LadderStep& step : result.steps) {
    if (step.judgement) best = std::max(best, step.judgement->snr_db);
  }
  EXPECT_NEAR(result.steps[*result.best].judgement->snr_db, best, 1e-9);
  EXPECT_NEAR(snr_on_disk(files), best, 1e-6);
}

TEST(Ladder, RemembersWhatItTried) {
  const SearchFiles files;
  const LadderResult first = climb_ladder(files.options(least_snr(190)), files.ladder_data());
  const LadderResult second = climb_ladder(files.options(least_snr(190)), files.ladder_data());
  ASSERT_EQ(first.steps.size(), second.steps.size());
  for (const LadderStep& step : second.steps) EXPECT_TRUE(step.remembered) << step.what;
  LadderOptions anew = files.options(least_snr(190));
  anew.resume = false;
  EXPECT_FALSE(climb_ladder(anew, files.ladder_data()).steps[0].remembered);
}

TEST(Ladder, ForgetsAnotherModel) {
  const SearchFiles files;
  climb_ladder(files.options(least_snr(1)), files.ladder_data());
  Model other = testing::uneven_net();
  other.producer_name = "another";
  write_onnx(other, files.model);
  EXPECT_FALSE(climb_ladder(files.options(least_snr(1)), files.ladder_data()).steps[0].remembered);
}

TEST(Ladder, TriesNothingWhenTheTimeIsOver) {
  const SearchFiles files;
  LadderOptions options = files.options(least_snr(190));
  options.time_budget_seconds = 1e-9;
  EXPECT_THAT([&] { climb_ladder(options, files.ladder_data()); },
              ::testing::ThrowsMessage<Error>(HasSubstr("time was over")));
}

TEST(Ladder, TrainsWhereItMay) {
  const SearchFiles files;
  LadderData data = files.ladder_data();
  data.training = files.samples;
  LadderOptions options = files.options(least_snr(190));
  const LadderResult result = climb_ladder(options, data);
  const LadderStep& last = result.steps.back();
  EXPECT_EQ(last.rung, "qat");
  ASSERT_TRUE(last.judgement) << last.reason;
  EXPECT_GT(last.judgement->snr_db, 3);
  EXPECT_FALSE(std::filesystem::exists(files.output.string() + ".qat"));
}

TEST(Ladder, SaysWhyNothingCanBeQuantized) {
  const SearchFiles files;
  LadderOptions options = files.options({});
  options.quantize.keep_float = {"*"};
  EXPECT_THAT([&] { climb_ladder(options, files.ladder_data()); },
              ::testing::ThrowsMessage<Error>(HasSubstr("keep_float")));
}

}  // namespace
}  // namespace mc
