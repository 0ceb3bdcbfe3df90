#include "mc/report/prune_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json sparse_document() {
  return Json::parse(R"({
    "schema": "model-compression/prune/1", "model": "/models/net.onnx", "output": "out/sparse.onnx",
    "method": "magnitude", "target": {"kind": "sparsity", "value": 0.75, "relative": false},
    "pattern": "unstructured",
    "sizes": [
      {"what": "dense", "bytes": 4000000, "compressed_bytes": 3600000, "parameters": 1e6, "macs": 5e7, "sparsity": 0},
      {"what": "sparse", "bytes": 4000000, "compressed_bytes": 1200000, "parameters": 1e6, "macs": 5e7,
       "sparsity": 0.75}],
    "weights": [{"name": "conv<1>", "shape_before": [16, 8, 3, 3], "shape": [16, 8, 3, 3], "sparsity": 0.75,
                 "pattern": "unstructured"}],
    "left": [{"name": "bias<2>", "reason": "one dimension"}],
    "engines": [{"engine": "onnxruntime", "faster": false, "why": "multiplies by zeros"},
                {"engine": "tensorrt", "faster": true, "why": "skips <zeros>"}],
    "cut_error": null, "cut_note": "", "latency": null, "engine_note": "no such engine",
    "comparison": {"top1_agreement": 0.925, "outputs": [{"name": "logits", "snr_db": 18.25, "cosine": 0.9912,
                   "max_abs": 0.5}]},
    "metric": {"name": "top1", "before": 0.93, "after": 0.9125}, "data": "64 samples", "random_data": false})");
}

TEST(PrunePage, ShowsZerosByLayerAndWhatTheyAreGoodFor) {
  const std::string page = prune_page(sparse_document());
  for (const char* words :
       {"sparse.onnx", "target sparsity 75.0 %", "3.00x", "3.6 MB to 1.2 MB", "Sparsity by layer",
        "conv&lt;1&gt;: 75.0 % of 1,152 weights are zero", "16 \u00d7 8 \u00d7 3 \u00d7 3",
        "Which engines become faster", "skips &lt;zeros&gt;", "Not timed: no such engine", "one dimension",
        "18.2 dB", "0.9912", "92.5 %", "91.25 %"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
  for (const char* words : {"conv<1>", "<script", "http", "What is left by layer", "Fewer MACs"})
    EXPECT_THAT(page, Not(HasSubstr(words)));
}

TEST(PrunePage, ShowsWhatIsLeftOfACutModel) {
  Json document = sparse_document();
  document["pattern"] = "channels";
  document["target"] = {{"kind", "speedup"}, {"value", 2.0}, {"relative", false}};
  document["weights"][0]["shape"] = {8, 4, 3, 3};
  document["sizes"].push_back({{"what", "cut"},
                               {"bytes", 1000000},
                               {"compressed_bytes", 900000},
                               {"parameters", 2.5e5},
                               {"macs", 1.25e7},
                               {"sparsity", 0}});
  document["latency"] = {{"engine", "onnxruntime"}, {"batch", 1}, {"before_ms", 4.0}, {"after_ms", 2.0}};
  document["cut_error"] = 2e-7;
  document["blocks"] = {{{"name", "block<3>"}, {"score", 0.125}, {"parameters", 36864}, {"nodes", 4}}};
  document["cut_note"] = "norm: over the channels";
  const std::string page = prune_page(document);
  for (const char* words :
       {"target 2.00x faster", "What is left by layer", "25.0 %",
        "16 \u00d7 8 \u00d7 3 \u00d7 3 to 8 \u00d7 4 \u00d7 3 \u00d7 3", "4.00x", "Fewer MACs",
        "4.00 ms to 2.00 ms, onnxruntime at batch 1", "2e-07", "norm: over the channels", "Blocks taken out",
        "block&lt;3&gt;", "36.9 k", "0.125"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
}

TEST(PrunePage, LeavesOutWhatTheDocumentLacksAndRefusesOthers) {
  const std::string page = prune_page({{"schema", "model-compression/prune/1"}, {"output", "a.onnx"}});
  EXPECT_THAT(page, HasSubstr("a.onnx"));
  for (const char* words :
       {"<h2>Sizes", "<h2>By layer", "<h2>Fidelity", "<h2>What was left alone", "<h2>Blocks taken out"})
    EXPECT_THAT(page, Not(HasSubstr(words)));
  for (const Json& hostile :
       {Json::parse(R"({"schema": "model-compression/prune/1", "sizes": 3, "weights": [7],
                                              "engines": [null], "left": {"a": 1}, "target": [], "latency": "x"})"),
        Json::parse(R"({"schema": "model-compression/prune/1", "weights": [{"name": 1,
                                              "shape": ["a", -2], "shape_before": [0], "sparsity": "b"}],
                                              "sizes": [{}, null]})")})
    EXPECT_THAT(prune_page(hostile), HasSubstr("</html>"));
  EXPECT_THROW(prune_page({{"schema", "model-compression/quantize/1"}}), Error);
  EXPECT_THROW(prune_page(Json()), Error);
}

}  // namespace
}  // namespace mc
