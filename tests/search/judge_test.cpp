#include "mc/search/judge.h"

#include "tests/search/search_testing.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using testing::SearchFiles;
using ::testing::ThrowsMessage;

Judgement judged(double metric, double snr) {
  Judgement judgement;
  judgement.metric = metric;
  judgement.snr_db = snr;
  return judgement;
}

TEST(Judge, TheReferenceIsRightAboutItsOwnLabels) {
  const SearchFiles files;
  const Judge judge(files.model, files.ladder_data().judge, "torch", {});
  EXPECT_EQ(judge.metric(), "top1");
  EXPECT_EQ(judge.reference().metric, 1.0);
  const Judgement again = judge.judge(files.model);
  EXPECT_EQ(again.snr_db, 200);
  EXPECT_EQ(again.top1_agreement, 1);
  EXPECT_EQ(again.bytes, std::filesystem::file_size(files.model));
}

TEST(Judge, TheWorstPartOfAGoalDecides) {
  const SearchFiles files;
  Goal goal;
  goal.accuracy_drop = 0.01;
  goal.min_snr_db = 20;
  const Judge judge(files.model, files.ladder_data().judge, "torch", goal);
  EXPECT_TRUE(judge.holds(judged(0.99, 20)));
  EXPECT_FALSE(judge.holds(judged(0.98, 40)));
  EXPECT_FALSE(judge.holds(judged(1.0, 19)));
  EXPECT_NEAR(judge.shortfall(judged(0.97, 19)), 2, 1e-6);
  EXPECT_NEAR(judge.shortfall(judged(1.0, 10)), 0.5, 1e-6);
}

TEST(Judge, MetricsOfErrorsFallWhenTheyRise) {
  const SearchFiles files;
  Goal goal;
  goal.metric = "mse";
  goal.accuracy_drop = 0.1;
  const at::Tensor x = at::randn({4, 3, 8, 8});
  write_npz(files.data, {{"x", x}, {"labels", at::zeros({4, 4})}});
  JudgeData data{open_dataset(files.data.string(), "test", {{"x", at::kFloat, {3, 8, 8}}}), {}, 4};
  const Judge judge(files.model, data, "torch", goal);
  const double mse = *judge.reference().metric;
  EXPECT_FALSE(judge.holds(judged(mse + 0.2, 0)));
  EXPECT_TRUE(judge.holds(judged(mse - 0.2, 0)));
}

TEST(Judge, AUsersCommandGetsTheOutputs) {
  const SearchFiles files;
  Goal goal;
  goal.metric = "command: echo noise; f() { wc -c < \"$1\"; }; f";
  const Judge judge(files.model, files.ladder_data().judge, "torch", goal);
  // 64 x 4 floats and 64 labels, and the archive around them
  EXPECT_GT(*judge.reference().metric, 64 * 4 * 4 + 64 * 8);
  EXPECT_LT(*judge.reference().metric, 64 * 4 * 4 + 64 * 8 + 1000);
}

TEST(Judge, ACommandThatFailsSaysWhatItPrinted) {
  const SearchFiles files;
  Goal goal;
  for (const auto& [command, message] :
       std::vector<std::pair<std::string, std::string>>{{"command: echo oh no; false", "oh no"},
                                                        {"command: echo good #", "no number"},
                                                        {"command: ", "no command"}}) {
    goal.metric = command;
    EXPECT_THAT([&] { Judge(files.model, files.ladder_data().judge, "torch", goal); },
                ThrowsMessage<Error>(HasSubstr(message)));
  }
}

TEST(Judge, ADropNeedsLabels) {
  const SearchFiles files;
  Goal goal;
  goal.accuracy_drop = 0.01;
  const JudgeData data{random_dataset(8, {{"x", at::kFloat, {3, 8, 8}}}, 0), {}, 4};
  EXPECT_THAT([&] { Judge(files.model, data, "torch", goal); },
              ThrowsMessage<Error>(HasSubstr("needs labels")));
  EXPECT_THAT([&] { Judge(files.model, data, "nowhere", {}); }, ThrowsMessage<Error>(HasSubstr("nowhere")));
}

TEST(Judgement, SurvivesJson) {
  Judgement judgement = judged(0.5, 12.25);
  judgement.bytes = 77;
  const Judgement again = judgement_from_json(to_json(judgement));
  EXPECT_EQ(again.metric, judgement.metric);
  EXPECT_EQ(again.snr_db, judgement.snr_db);
  EXPECT_EQ(again.bytes, 77U);
  EXPECT_THROW(judgement_from_json(Json::object()), Error);
}

}  // namespace
}  // namespace mc
