#include "mc/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/report/results.h"

namespace mc {
namespace {

using testing::HasSubstr;
using testing::Not;

Json row(const std::string& model, double median) {
  return {{"model", model},         {"engine", "onnxruntime"},
          {"precision", "f32"},     {"batch", 1},
          {"median_ms", median},    {"p90_ms", median * 1.2},
          {"p99_ms", median * 1.5}, {"throughput", 1e3 / median},
          {"skipped", ""}};
}

RunResults sample() {
  RunResults run;
  run.name = "pixels <& \"friends\">";
  run.recipe = "version: 1  # <b>\nname: x\n";
  run.environment.cpu = "Some CPU";
  run.stages.push_back({"train", 3, 300, "top1", 0.9231, 0, 12, {"distill"}});
  run.models.push_back({"fp32", "fp32.onnx", 4000000, 3600000, 0, 1000000, 5000000});
  run.models.push_back({"int8", "int8.onnx", 1100000, 360000, 0.8, 1000000, 5000000});
  run.evaluations.push_back({"fp32", "onnxruntime", "top1", 0.9231, 10000});
  run.evaluations.push_back({"int8", "onnxruntime", "top1", 0.9181, 10000});
  run.benchmarks = {row("fp32", 2.0), row("int8", 0.8)};
  run.comparisons = {
      {{"kind", "simulated"},
       {"reference", "int8 (simulated)"},
       {"engine", "torch"},
       {"other", "int8"},
       {"other_engine", "onnxruntime"},
       {"samples", 10000},
       {"outputs", {{{"name", "y"}, {"mse", 1e-5}, {"snr_db", 55.5}, {"cosine", 0.99}, {"max_abs", 0.1}}}},
       {"top1_agreement", 0.9985}}};
  run.sparsity_by_layer.push_back({"int8", "conv1.weight", 0.8, 144});
  run.quantized_layers.push_back({"int8", "softmax", "Softmax", false, "gains nothing"});
  run.checks.push_back({"accuracy drop", "at most 1.00 points", "0.50 points", true});
  return run;
}

TEST(Results, HasEveryDocumentedKey) {
  const Json json = to_json(sample());
  EXPECT_EQ(json["schema"], "model-compression/run/1");
  for (const char* key :
       {"name", "passed", "seconds", "data", "environment", "stages", "models", "evaluations", "benchmarks",
        "comparisons", "sparsity_by_layer", "quantized_layers", "checks", "recipe"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json["models"][1]["compressed_bytes"], 360000);
  EXPECT_EQ(json["stages"][0]["methods"], Json::array({"distill"}));
  EXPECT_EQ(json["passed"], true);
}

TEST(Results, OneFailedCheckFailsTheRun) {
  RunResults run = sample();
  run.checks.push_back({"agreement", "at least 99.80 %", "99.00 %", false});
  EXPECT_FALSE(run.passed());
  EXPECT_EQ(to_json(run)["passed"], false);
  EXPECT_THAT(summary_table(to_json(run)), HasSubstr("FAILED"));
}

TEST(Results, KnowsThisMachine) {
  const EnvironmentResult environment = this_environment();
  EXPECT_FALSE(environment.cpu.empty());
  EXPECT_GE(environment.threads, 1);
  EXPECT_THAT(environment.date, testing::ContainsRegex("^20[0-9]{2}-[0-9]{2}-[0-9]{2}T.*Z$"));
}

TEST(Summary, ShowsStagesModelsAgreementAndChecks) {
  const std::string text = summary_table(to_json(sample()));
  EXPECT_THAT(text, HasSubstr("92.31 %"));
  EXPECT_THAT(text, HasSubstr("2.50x"));  // 2.0 ms to 0.8 ms
  EXPECT_THAT(text, HasSubstr("55.5"));
  EXPECT_THAT(text, HasSubstr("99.85 %"));
  EXPECT_THAT(text, HasSubstr("passed"));
  EXPECT_EQ(text.back(), '\n');
}

TEST(Summary, LinesOfATableAreAligned) {
  const std::string text = summary_table(to_json(sample()));
  const size_t head = text.find("model  ");
  ASSERT_NE(head, std::string::npos);
  const size_t rule = text.find('\n', head) + 1;
  const size_t first = text.find('\n', rule) + 1;
  EXPECT_EQ(rule - head, text.find('\n', first) + 1 - first);  // the last column is numeric: full width
}

TEST(Summary, SaysWhyARowWasSkipped) {
  RunResults run = sample();
  run.benchmarks.push_back(
      {{"model", "int8"}, {"engine", "tensorrt"}, {"batch", 1}, {"skipped", "not built"}});
  EXPECT_THAT(summary_table(to_json(run)), HasSubstr("skipped: int8 on tensorrt, batch 1: not built"));
}

TEST(Report, EscapesEverything) {
  RunResults run = sample();
  run.models[1].file = "<script>alert(1)</script>";
  run.sparsity_by_layer[0].layer = "a\"><script>";
  run.checks[0].name = "\xff\x01";
  const std::string html =
      report_html(to_json(run), {{{"stage", "<i>"}, {"step", 1}, {"epoch", 0}, {"loss", 0.5}}});
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<i>\n")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_THAT(html, HasSubstr("pixels &lt;&amp; &quot;friends&quot;&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("\xff")));
}

TEST(Report, StandsAlone) {
  const std::string html = report_html(to_json(sample()), {});
  for (const char* outside : {"http:", "https:", "src=", "@import", "url("}) {
    EXPECT_THAT(html, Not(HasSubstr(outside))) << outside;
  }
}

TEST(Report, HasEveryPart) {
  std::vector<Json> metrics;
  for (int step = 0; step < 300; ++step) {
    metrics.push_back(
        {{"stage", "train"}, {"epoch", step / 100}, {"step", step}, {"loss", 2.0 / (step + 1)}});
  }
  metrics.push_back({{"stage", "train"}, {"epoch", 2}, {"step", 299}, {"metric", 0.9231}});
  const std::string html = report_html(to_json(sample()), metrics);
  for (const char* part :
       {"Training loss", "train, epoch 2: 92.31 %", "Latency at batch 1", "Sparsity by layer",
        "Layers left in float", "Some CPU", "<caption", "<svg", "10.0x", "91.81 %"}) {
    EXPECT_THAT(html, HasSubstr(part)) << part;
  }
}

TEST(Report, LeavesOutWhatIsMissing) {
  const Json bare = {{"schema", kRunSchema}, {"stages", nullptr}, {"models", 3}, {"checks", {1, "x"}}};
  const std::string html = report_html(bare, {Json(), Json("x"), {{"stage", "a"}}});
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
  EXPECT_THAT(html, HasSubstr("</html>"));
}

TEST(Report, RefusesOtherDocuments) {
  for (const Json& other : {Json(), Json::array(), Json{{"schema", "model-compression/run/99"}}}) {
    EXPECT_THROW(report_html(other, {}), Error);
    EXPECT_THROW(summary_table(other), Error);
  }
}

}  // namespace
}  // namespace mc
