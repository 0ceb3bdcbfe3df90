#include "mc/recipe/run.h"

#include <fstream>

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/file.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/deploy/engine.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/preprocess.h"
#include "mc/recipe/process.h"
#include "mc/recipe/run_folder.h"
#include "tests/base/error_of.h"
#include "tests/recipe/tiny_data.h"

namespace mc {
namespace {

using testing::HasSubstr;

// Raises the interrupt when work with this title is first reported.
class Interrupter : public LogSink {
 public:
  explicit Interrupter(std::string title) : title_(std::move(title)) {}
  void log(LogLevel, std::string_view) override {}
  void progress(const ProgressState& state) override {
    if (state.title == title_) set_interrupted(true);
  }

 private:
  std::string title_;
};

class RunRecipe : public testing::Test {
 protected:
  RunRecipe() { write_tiny_data(folder_ / "data"); }
  void TearDown() override {
    use_threads(0);  // of the process, which other tests share
    set_interrupted(false);
    set_log_sink(nullptr);
  }

  LoadedRecipe recipe(const Overrides& overrides = {}) const {
    std::string text = fmt::format(R"(
name: tiny
seed: 3
threads: 1
data: {{root: {}, augment: [crop: 1]}}
model: {{builtin: mlp, width: 0.25}}
teacher: {{builtin: mlp, width: 0.5, train: {{epochs: 2, batch_size: 16, optimizer: {{sgd: {{lr: 0.05}}}}}}}}
stages:
  - {{name: train, epochs: 3, batch_size: 16, optimizer: {{sgd: {{lr: 0.05}}}}, distill: {{}}}}
  - {{name: prune, epochs: 2, batch_size: 32, prune: {{target_sparsity: 0.5, frequency: 2}}}}
  - {{name: quantize, epochs: 2, batch_size: 32, optimizer: {{sgd: {{lr: 0.01}}}}, quantize: {{}}}}
export: {{names: {{train: fp32, prune: pruned, quantize: int8}}}}
deploy: {{engines: [torch], batch_sizes: [1], seconds: 0.02}}
)",
                                   (folder_ / "data").string());
    return parse_recipe(text, "r.yaml", overrides);
  }

  TemporaryFolder folder_;
};

const Json& find(const Json& list, const std::string& key, const std::string& value) {
  for (const Json& item : list) {
    if (item.at(key) == value) return item;
  }
  throw Error("no " + value);
}

TEST_F(RunRecipe, GoesTheWholeRoad) {
  std::vector<std::string> engines = {"torch"};
  if (find_engine("onnxruntime").available()) engines.push_back("onnxruntime");
  const std::string list = fmt::format("[{}]", fmt::join(engines, ", "));
  const Json results = run_recipe(recipe({{"deploy.engines", list}}), folder_ / "out", false);
  const std::filesystem::path out = folder_ / "out";
  for (const char* file :
       {"recipe.yaml", "results.json", "metrics.jsonl", "report.html", "models/teacher.onnx",
        "models/fp32.onnx", "models/pruned.onnx", "models/int8.onnx", "stages/prune.onnx"}) {
    EXPECT_TRUE(std::filesystem::exists(out / file)) << file;
  }
  EXPECT_EQ(results["schema"], "model-compression/run/1");
  EXPECT_EQ(results["stages"].size(), 4u);
  EXPECT_EQ(results["evaluations"].size(), 4 * engines.size());
  EXPECT_EQ(results["benchmarks"].size(), 4 * engines.size());
  for (const Json& row : results["evaluations"]) {
    EXPECT_GE(row["value"].get<double>(), 0.9) << row.dump();
    EXPECT_EQ(row["samples"], 128);
  }
  EXPECT_NEAR(find(results["models"], "name", "pruned")["sparsity"].get<double>(), 0.5, 0.02);
  EXPECT_GE(find(results["models"], "name", "int8")["sparsity"].get<double>(),
            0.48);  // masks outlive their stage
  EXPECT_LT(find(results["models"], "name", "int8")["file_bytes"],
            find(results["models"], "name", "fp32")["file_bytes"]);
  for (const char* kind : {"simulated", "trained"}) {
    const Json pair = find(results["comparisons"], "kind", kind);
    EXPECT_EQ(pair["other"], "int8");
    EXPECT_EQ(pair["reference"], fmt::format("int8 ({})", kind));
    EXPECT_GE(pair["top1_agreement"].get<double>(), 0.99);
  }
  // The exported file computes integers, on our executor too.
  EXPECT_GT(find(results["comparisons"], "kind", "simulated")["outputs"][0]["snr_db"].get<double>(), 60);
  EXPECT_FALSE(results["quantized_layers"].empty());

  const Model exported = read_onnx(out / "models/int8.onnx");
  EXPECT_EQ(preprocess_of(exported).mean.size(), 1u);
  EXPECT_EQ(results["recipe"], read_file(out / "recipe.yaml"));
}

TEST_F(RunRecipe, GoesOnWhereItWasInterrupted) {
  const Json whole = run_recipe(recipe(), folder_ / "whole", false);
  for (const char* title : {"teacher, epoch 2 of 2", "prune, epoch 2 of 2"}) {
    set_log_sink(std::make_shared<Interrupter>(title));
    try {
      run_recipe(recipe(), folder_ / "parts", std::filesystem::exists(folder_ / "parts"));
      ADD_FAILURE() << "was not interrupted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted) << error.what();
    }
    set_interrupted(false);
    set_log_sink(nullptr);
  }
  const Json parts = run_recipe(recipe(), folder_ / "parts", true);
  ASSERT_EQ(parts["stages"].size(), whole["stages"].size());
  double seconds = 0;  // what the interrupted runs did counts
  for (const Json& stage : parts["stages"]) seconds += stage["seconds"].get<double>();
  EXPECT_GE(parts["seconds"].get<double>(), seconds);
  for (size_t i = 0; i < whole["stages"].size(); ++i) {
    EXPECT_EQ(parts["stages"][i]["metric"], whole["stages"][i]["metric"]);
    EXPECT_EQ(parts["stages"][i]["steps"], whole["stages"][i]["steps"]);
  }
  EXPECT_EQ(parts["evaluations"], whole["evaluations"]);
  EXPECT_EQ(parts["comparisons"], whole["comparisons"]);
  for (const char* file :
       {"stages/teacher.onnx", "stages/prune.onnx", "stages/quantize.onnx", "models/int8.onnx"}) {
    EXPECT_TRUE(read_file(folder_ / "parts" / file) == read_file(folder_ / "whole" / file)) << file;
  }
  auto places = [](const std::filesystem::path& file) {
    std::vector<std::string> result;
    for (const Json& line : read_metrics(file))
      result.push_back(line["stage"].dump() + line["epoch"].dump() + line["step"].dump());
    return result;
  };
  EXPECT_EQ(places(folder_ / "parts/metrics.jsonl"), places(folder_ / "whole/metrics.jsonl"));
}

TEST_F(RunRecipe, AFinishedRunIsOnlyRead) {
  const Overrides small = {
      {"stages", "[{name: train, batch_size: 64}]"}, {"teacher", "false"}, {"export.names", "{}"}};
  const Json first = run_recipe(recipe(small), folder_ / "out", false);
  const auto written = std::filesystem::last_write_time(folder_ / "out/results.json");
  EXPECT_EQ(run_recipe(recipe(small), folder_ / "out", true), first);
  EXPECT_EQ(std::filesystem::last_write_time(folder_ / "out/results.json"), written);
  EXPECT_THAT(error_of([&] { run_recipe(recipe(small), folder_ / "out", false); }), HasSubstr("--resume"));

  // Another deploy section trains nothing again.
  Overrides other = small;
  other.emplace_back("deploy.batch_sizes", "[1, 2]");
  const auto trained = std::filesystem::last_write_time(folder_ / "out/stages/train.onnx");
  EXPECT_EQ(run_recipe(recipe(other), folder_ / "out", true)["benchmarks"].size(), 2u);
  EXPECT_EQ(std::filesystem::last_write_time(folder_ / "out/stages/train.onnx"), trained);
}

TEST_F(RunRecipe, RequirementsBecomeChecks) {
  const Json results = run_recipe(recipe({{"stages", "[{name: train, batch_size: 64}]"},
                                          {"teacher", "false"},
                                          {"export.names", "{}"},
                                          {"deploy.require", "{min_snr_db: 300, min_agreement: 0.9}"}}),
                                  folder_ / "out", false);
  EXPECT_FALSE(results["passed"]);
  ASSERT_EQ(results["checks"].size(), 2u);
  EXPECT_FALSE(results["checks"][0]["passed"]);
  EXPECT_TRUE(results["checks"][1]["passed"]);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/results.json"));
}

TEST_F(RunRecipe, TrainsAnOnnxFile) {
  const Overrides small = {
      {"stages", "[{name: train, batch_size: 64, epochs: 3}]"}, {"teacher", "false"}, {"export.names", "{}"}};
  run_recipe(recipe(small), folder_ / "first", false);
  Overrides again = small;
  again.emplace_back("model", fmt::format("{{onnx: {}}}", (folder_ / "first/models/train.onnx").string()));
  again.emplace_back("teacher", fmt::format("{{onnx: {}}}", (folder_ / "first/models/train.onnx").string()));
  again.emplace_back("stages",
                     "[{name: q, batch_size: 64, optimizer: {sgd: {lr: 0.01}}, quantize: {}, distill: {}}]");
  const Json results = run_recipe(recipe(again), folder_ / "second", false);
  std::vector<std::string> names;
  for (const Json& model : results["models"]) names.push_back(model["name"]);
  EXPECT_THAT(names, testing::ElementsAre("teacher", "original", "q"));
  EXPECT_EQ(results["comparisons"][0]["reference"], "original");
}

TEST_F(RunRecipe, ALossThatIsNoNumberStopsTheRun) {
  const Overrides wild = {
      {"stages", "[{name: train, batch_size: 64, epochs: 3, optimizer: {sgd: {lr: 1e30}}}]"},
      {"teacher", "false"},
      {"export.names", "{}"}};
  const std::string error = error_of([&] { run_recipe(recipe(wild), folder_ / "out", false); });
  EXPECT_THAT(error, HasSubstr("not a finite number since step"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/results.json"));
}

TEST_F(RunRecipe, AnOutputThatCannotBeWrittenIsFoundFirst) {
  std::ofstream(folder_ / "file") << "x";
  bool began = false;
  const std::string error =
      error_of([&] { run_recipe(recipe(), folder_ / "file" / "out", false, [&] { began = true; }); });
  EXPECT_THAT(error, HasSubstr("file/out"));
  EXPECT_FALSE(began);
  EXPECT_THAT(error_of([&] { check_run(recipe(), folder_ / "file" / "out"); }), HasSubstr("file/out"));
}

}  // namespace
}  // namespace mc
