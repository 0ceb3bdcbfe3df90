#include "mc/deploy/benchmark.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "tests/deploy/small_models.h"

namespace mc {
namespace {

BenchmarkOptions quick() {
  BenchmarkOptions options;
  options.seconds = 0.05;
  options.minimum_runs = 5;
  return options;
}

TEST(Benchmark, RowsInOrderWithFiguresThatFitTogether) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model(), folder / "a.onnx");
  write_onnx(SmallNet(2).model(), folder / "b.onnx");
  BenchmarkOptions options = quick();
  options.engines = {"torch", "onnxruntime"};
  options.batch_sizes = {1, 8};
  options.engine.threads = 1;
  const auto rows = benchmark({folder / "a.onnx", folder / "b.onnx"}, nullptr, options);
  ASSERT_EQ(rows.size(), 8u);
  EXPECT_EQ(rows[0].engine, "torch");
  EXPECT_EQ(rows[1].batch, 8);
  EXPECT_EQ(rows[2].engine, "onnxruntime");
  EXPECT_EQ(rows[4].model, folder / "b.onnx");
  for (const BenchmarkRow& row : rows) {
    if (!row.skipped.empty()) continue;
    EXPECT_GT(row.median_ms, 0);
    EXPECT_LE(row.median_ms, row.p90_ms);
    EXPECT_LE(row.p90_ms, row.p99_ms);
    EXPECT_NEAR(row.throughput, static_cast<double>(row.batch) * 1e3 / row.median_ms, 1e-6 * row.throughput);
    EXPECT_GT(row.load_ms, 0);
    EXPECT_GE(row.peak_mb, 0);
    EXPECT_DOUBLE_EQ(row.file_mb, static_cast<double>(std::filesystem::file_size(row.model)) / 1e6);
    EXPECT_EQ(row.threads, 1);
    EXPECT_TRUE(row.random_data);
  }
}

TEST(Benchmark, SamplesTheMachineInEveryRound) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model(), folder / "a.onnx");
  BenchmarkOptions options = quick();
  options.engines = {"torch"};
  MachineSpeed machine;
  EXPECT_EQ(machine.median_ms(), 0);
  benchmark({folder / "a.onnx"}, nullptr, options, &machine);
  EXPECT_GT(machine.median_ms(), 0);
  EXPECT_GE(machine.drift(), 0);
}

TEST(Benchmark, FileSizeCountsExternalData) {
  TemporaryFolder folder;
  WriteOptions external;
  external.external_data = true;
  external.external_threshold = 1;
  write_onnx(SmallNet(1).model(), folder / "a.onnx", external);
  BenchmarkOptions options = quick();
  options.engines = {"torch"};
  const auto rows = benchmark({folder / "a.onnx"}, nullptr, options);
  const auto bytes =
      std::filesystem::file_size(folder / "a.onnx") + std::filesystem::file_size(folder / "a.onnx.data");
  EXPECT_DOUBLE_EQ(rows.at(0).file_mb, static_cast<double>(bytes) / 1e6);
}

TEST(Benchmark, SkipsABatchThatTheModelDoesNotTake) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model("4"), folder / "fixed.onnx");
  BenchmarkOptions options = quick();
  options.engines = {"torch"};
  options.batch_sizes = {1, 4};
  const auto rows = benchmark({folder / "fixed.onnx"}, nullptr, options);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_THAT(rows[0].skipped, testing::HasSubstr("batch is fixed to 4"));
  EXPECT_TRUE(to_json(rows[0])["median_ms"].is_null());
  EXPECT_EQ(rows[1].skipped, "");
  EXPECT_GT(rows[1].median_ms, 0);
}

TEST(Benchmark, TakesInputsFromData) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model(), folder / "a.onnx");
  BenchmarkOptions options = quick();
  options.engines = {"torch"};
  options.batch_sizes = {4};
  const auto fits = random_dataset(2, {{"x", at::kFloat, {3, 8, 8}}}, 1);
  EXPECT_EQ(benchmark({folder / "a.onnx"}, fits, options).at(0).skipped, "");
  const auto wrong = random_dataset(2, {{"x", at::kFloat, {1, 8, 8}}}, 1);
  EXPECT_THAT(benchmark({folder / "a.onnx"}, wrong, options).at(0).skipped, testing::HasSubstr("[4,1,8,8]"));
}

TEST(Benchmark, RefusesBadRequests) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model(), folder / "a.onnx");
  EXPECT_THROW(benchmark({folder / "missing.onnx"}, nullptr, quick()), Error);
  BenchmarkOptions options = quick();
  options.engines = {"torh"};
  EXPECT_THROW(benchmark({folder / "a.onnx"}, nullptr, options), Error);
  options = quick();
  options.batch_sizes = {0};
  EXPECT_THROW(benchmark({folder / "a.onnx"}, nullptr, options), Error);
}

TEST(Benchmark, JsonHasTheDocumentedKeys) {
  MachineSpeed machine;
  machine.sample();
  const Json json = to_json(std::vector<BenchmarkRow>{BenchmarkRow{}}, machine);
  EXPECT_DOUBLE_EQ(json["machine"]["loop_ms"], machine.median_ms());
  EXPECT_EQ(json["machine"]["drift"], 0);  // of one sample
  EXPECT_EQ(json["schema"], "model-compression/benchmark/1");
  for (const char* key : {"model", "engine", "precision", "batch", "threads", "median_ms", "p90_ms", "p99_ms",
                          "throughput", "load_ms", "peak_mb", "file_mb"}) {
    EXPECT_TRUE(json["rows"][0].contains(key)) << key;
  }
}

}  // namespace
}  // namespace mc
