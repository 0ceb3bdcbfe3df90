#include "mc/report/quantize_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json sensitivity_rows() {
  return Json::parse(R"([
    {"name": "conv<1>", "op": "Conv", "snr_alone_db": 12.5, "snr_without_db": 9.5, "weights": 1200, "macs": 3e6,
     "snr_by_bits_db": {"4": 4.25, "2": -1.0}},
    {"name": "fc", "op": "Gemm", "snr_alone_db": 40.0, "snr_without_db": 8.0, "weights": 80, "macs": 80,
     "snr_by_bits_db": {"4": 22.0, "2": 11.0}}])");
}

TEST(QuantizePage, ShowsSensitivities) {
  const Json document = {{"schema", "model-compression/sensitivity/1"},
                         {"model", "/models/net.onnx"},
                         {"data", "data.npz: 64 samples of x"},
                         {"sensitivity", sensitivity_rows()}};
  const std::string page = quantize_page(document);
  EXPECT_THAT(page, HasSubstr("net.onnx"));
  EXPECT_THAT(page, HasSubstr("conv&lt;1&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("conv<1>")));
  EXPECT_THAT(page, HasSubstr("12.5 dB"));
  EXPECT_THAT(page, HasSubstr("4 bits"));
  EXPECT_THAT(page, HasSubstr("22.0"));
  EXPECT_THAT(page, Not(HasSubstr("The ladder")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
}

TEST(QuantizePage, ShowsTheLadderAndWhatStayedFloat) {
  const Json document = Json::parse(R"({
    "schema": "model-compression/quantize-ladder/1", "output": "int8.onnx", "metric": "top1", "holds": true, "best": 1,
    "reference": {"metric": 0.93, "bytes": 4000000},
    "steps": [
      {"rung": "min-max", "what": "calibrator min_max", "seconds": 2, "kept": true, "reason": "",
       "judgement": {"metric": 0.9, "snr_db": 20, "bytes": 1000000}},
      {"rung": "qat", "what": "training", "seconds": 60, "kept": true, "reason": "",
       "judgement": {"metric": 0.925, "snr_db": 30, "bytes": 1000000}},
      {"rung": "rounding", "what": "adaround", "seconds": 1, "kept": false, "reason": "no <memory>",
       "judgement": null}],
    "layers": [{"name": "stem", "op": "Conv", "quantized": false, "reason": "sensitive: 12.0 dB with only it"},
               {"name": "body", "op": "Conv", "quantized": true, "reason": ""}]})");
  const std::string page = quantize_page(document);
  for (const char* words : {"the goal is reached", "calibrator min_max", "failed: no &lt;memory&gt;",
                            "92.50 %", "4.00x", "30.0 dB", "What stayed float", "sensitive: 12.0 dB"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
  EXPECT_THAT(page, Not(HasSubstr(">body<")));
}

TEST(QuantizePage, ShowsBudgetAndLatency) {
  const Json document = Json::parse(R"({
    "schema": "model-compression/quantize/1", "output": "q.onnx", "bytes_before": 4000, "bytes_after": 500,
    "budget": {"kind": "size", "limit": 500, "layers": [
      {"name": "a", "op": "Conv", "bits": 4, "snr_db": 18.25, "cost": 200},
      {"name": "b", "op": "Conv", "bits": 32, "snr_db": 200, "cost": 300}]},
    "latency": {"float_ms": 3.0, "quantized_ms": 1.5, "choices": [
      {"kind": "depthwise Conv", "nodes": ["a", "b"], "integer_ms": 2, "float_ms": 1.5, "kept_float": true}]}})");
  const std::string page = quantize_page(document);
  for (const char* words : {"4 bits", "18.2 dB", "8.00x", "2.00x", "depthwise Conv", "The budget"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
}

TEST(QuantizePage, OfAnythingElseIsRefused) {
  EXPECT_THROW(quantize_page(Json::object()), Error);
  EXPECT_THROW(quantize_page({{"schema", "model-compression/run/1"}}), Error);
  // Parts that are missing or of another kind are left out.
  const std::string page = quantize_page(
      Json::parse(R"({"schema": "model-compression/quantize/1", "layers": 3, "budget": [], "best": "x"})"));
  EXPECT_THAT(page, HasSubstr("</html>"));
}

}  // namespace
}  // namespace mc
