#include "mc/recipe/run_folder.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/error_of.h"
#include "tests/recipe/tiny_data.h"

namespace mc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Json line(const std::string& stage, int epoch, int step) {
  return {{"stage", stage}, {"epoch", epoch}, {"step", step}};
}

TEST(RunFolder, KnowsFinishedStages) {
  TemporaryFolder temporary;
  RunFolder folder(temporary.path(), false);
  folder.make_parts();
  const Json key = {{"epochs", 3}};
  EXPECT_FALSE(folder.finished_stage("train", key));
  folder.finish_stage("train", key, {{"metric", 0.5}});
  EXPECT_FALSE(folder.finished_stage("train", key)) << "without its model it is not finished";
  std::ofstream(folder.stage_model("train")) << "model";
  EXPECT_EQ(folder.finished_stage("train", key), Json({{"metric", 0.5}}));
  EXPECT_FALSE(folder.finished_stage("train", {{"epochs", 4}}));
  EXPECT_THAT(error_of([&] { RunFolder(temporary.path(), false); }), HasSubstr("holds an earlier run"));
  EXPECT_EQ(error_of([&] { RunFolder(temporary.path(), true); }), "");
}

TEST(RunFolder, ForgetsCheckpointsOfOtherSettings) {
  TemporaryFolder temporary;
  RunFolder folder(temporary.path(), false);
  folder.make_parts();
  EXPECT_FALSE(folder.begin_stage("train", {{"lr", 1}}));
  std::filesystem::create_directories(folder.checkpoint("train"));
  EXPECT_TRUE(folder.begin_stage("train", {{"lr", 1}}));
  EXPECT_TRUE(std::filesystem::exists(folder.checkpoint("train")));
  EXPECT_FALSE(folder.begin_stage("train", {{"lr", 2}}));
  EXPECT_FALSE(std::filesystem::exists(folder.checkpoint("train")));
}

TEST(MetricsFile, DropsWhatIsDoneAgain) {
  TemporaryFolder temporary;
  const std::filesystem::path path = temporary / "metrics.jsonl";
  {
    MetricsFile file(path);
    file.begin_stage("a", false);
    file.add(line("a", 0, 0));
    file.begin_stage("b", false);
    for (int step : {0, 10, 20}) file.add(line("b", 0, step));
    file.add(line("b", 0, 25));
    file.add(line("b", 1, 25));
  }
  std::ofstream(path, std::ios::app) << "{\"stage\": \"b\", \"ep";  // cut off by a crash
  {
    MetricsFile file(path);
    file.begin_stage("b", true);
    file.add(line("b", 1, 25));
    file.add(line("b", 1, 35));
  }
  EXPECT_THAT(read_metrics(path),
              ElementsAre(line("a", 0, 0), line("b", 0, 0), line("b", 0, 10), line("b", 0, 20),
                          line("b", 0, 25), line("b", 1, 25), line("b", 1, 35)));
  {
    MetricsFile file(path);
    file.begin_stage("b", false);
  }
  EXPECT_THAT(read_metrics(path), ElementsAre(line("a", 0, 0)));
}

}  // namespace
}  // namespace mc
