#include "mc/data/parquet.h"

#include <cstdlib>
#include <fstream>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/base/error_of.h"
#include "tests/base/temporary_folder.h"
#include "tests/data/arrow_columns.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

void touch(const fs::path& file) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << "PAR1";
}

std::vector<std::string> found_in(const fs::path& folder, const std::string& split) {
  std::vector<std::string> names;
  for (const fs::path& file : parquet_files(folder, split))
    names.push_back(file.lexically_relative(folder).string());
  return names;
}

TEST(Parquet, FindsTheFilesOfASplit) {
  const TemporaryFolder folder;
  touch(folder / "named/train-00001-of-00002.parquet");
  touch(folder / "named/train-00000-of-00002.parquet");
  touch(folder / "named/training.parquet");
  touch(folder / "named/validation.parquet");
  touch(folder / "data/data/train-0.parquet");
  touch(folder / "data/data/test-0.parquet");
  touch(folder / "folders/train/a.parquet");
  touch(folder / "folders/test/b.parquet");
  touch(folder / "plain/b.parquet");
  touch(folder / "plain/a.parquet");
  touch(folder / "plain/a.txt");
  EXPECT_THAT(found_in(folder / "named", "train"),
              ElementsAre("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"));
  EXPECT_THAT(found_in(folder / "named", "test"), ElementsAre("validation.parquet"));
  EXPECT_THAT(found_in(folder / "data", "test"), ElementsAre("data/test-0.parquet"));
  EXPECT_THAT(found_in(folder / "folders", "train"), ElementsAre("train/a.parquet"));
  EXPECT_THAT(found_in(folder / "plain", "train"), ElementsAre("a.parquet", "b.parquet"));
  EXPECT_THAT(found_in(folder / "plain", ""), ElementsAre("a.parquet", "b.parquet"));
  EXPECT_THAT(found_in(folder / "nowhere", "train"), ElementsAre());
}

TEST(Parquet, ReadsThroughTheReaderThatIsSet) {
  const TemporaryFolder folder;
  touch(folder / "train.parquet");
  std::vector<std::string> asked;
  TestStream table({batch_of({number_column<float>("f", {1, 2, 3})})});
  set_parquet_reader([&](const std::vector<std::string>& files, ArrowArrayStream& stream) {
    asked = files;
    stream = table.stream();
  });
  const auto set = open_dataset(folder.path().string(), "train", {{"input", at::kFloat, {}}});
  EXPECT_THAT(asked, ElementsAre((folder / "train.parquet").string()));
  EXPECT_TRUE(all(*set).inputs[0].equal(at::tensor({1.0f, 2.0f, 3.0f})));
  set_parquet_reader([](const std::vector<std::string>&, ArrowArrayStream&) { fail("it is broken"); });
  EXPECT_THAT(error_of([&] { open_parquet({folder / "train.parquet"}); }),
              AllOf(HasSubstr("train.parquet"), HasSubstr("it is broken")));
  set_parquet_reader(nullptr);
}

TEST(Parquet, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { open_parquet({folder / "gone.parquet"}); }), HasSubstr("there is no such file"));
  EXPECT_THAT(error_of([] { open_parquet({}); }), HasSubstr("no Parquet file"));
  touch(folder / "a.parquet");
  setenv("MC_PARQUET_LIBRARY", (folder / "no_library.so").c_str(), 1);
  const std::string problem = error_of([&] { open_parquet({folder / "a.parquet"}); });
  unsetenv("MC_PARQUET_LIBRARY");
  EXPECT_THAT(problem,
              AllOf(HasSubstr("a.parquet"), HasSubstr("pip install pyarrow"), HasSubstr("no_library.so")));
}

}  // namespace
}  // namespace mc
