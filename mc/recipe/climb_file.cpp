#include "mc/recipe/climb_file.h"

#include <algorithm>
#include <system_error>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/options_json.h"
#include "mc/deploy/engine.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/calibrate.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/timing_folder.h"
#include "mc/report/quantize_page.h"
#include "mc/rewrite/pass.h"
#include "mc/search/command_metric.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTimingSamples = 8;  // ranges do not matter for speed

Json ladder_json(const LadderResult& result) {
  Json steps = Json::array();
  for (const LadderStep& step : result.steps) {
    steps.push_back({{"rung", step.rung},
                     {"what", step.what},
                     {"judgement", step.judgement ? to_json(*step.judgement) : Json()},
                     {"reason", step.reason},
                     {"seconds", step.seconds},
                     {"kept", step.kept},
                     {"remembered", step.remembered}});
  }
  return steps;
}

std::vector<LayerQuantization> layers_of_best(Model model, const ClimbFileReport& report) {
  const LadderResult& ladder = report.ladder;
  apply_passes(model, inference_passes());
  std::vector<LayerQuantization> layers = prepare_qat(model, ladder.steps[*ladder.best].options);
  const std::vector<std::string>& asked = report.options.quantize.keep_float;
  for (LayerQuantization& layer : layers) {
    for (const LayerSensitivity& row : ladder.sensitivity) {
      if (layer.quantized || row.node != layer.node || std::ranges::count(asked, row.node) > 0) continue;
      layer.reason = fmt::format("sensitive: {:.1f} dB with only it quantized", row.snr_alone_db);
    }
  }
  if (report.latency) explain_float(*report.latency, report.engine, layers);
  return layers;
}

}  // namespace

std::filesystem::path page_of(const std::filesystem::path& output) {
  return output.string() + ".report.html";
}

Json layers_json(const std::vector<LayerQuantization>& layers) {
  Json rows = Json::array();
  for (const LayerQuantization& layer : layers) {
    rows.push_back({{"name", layer.node},
                    {"op", layer.op_type},
                    {"quantized", layer.quantized},
                    {"reason", layer.reason}});
  }
  return rows;
}

std::string judging_engine(const std::string& target, std::string& note) {
  const auto& engines = all_engines();
  const auto own = std::find_if(engines.begin(), engines.end(),
                                [&](const Engine* engine) { return engine->name() == target; });
  if (own != engines.end() && (*own)->available()) return target;
  note = own == engines.end() ? fmt::format("there is no engine '{}' here", target)
                              : (*own)->unavailable_reason();
  return "torch";
}

void explain_float(const LatencyResult& latency, const std::string& engine,
                   std::vector<LayerQuantization>& layers) {
  const std::string whole = fmt::format("the model is faster in float on {}: {:.3f} ms, {:.3f} ms quantized",
                                        engine, latency.float_ms, latency.quantized_ms);
  for (const LatencyChoice& choice : latency.choices) {
    const std::string reason =
        fmt::format("{} is faster in float on {}: {:.3f} ms the model, {:.3f} ms quantized", choice.kind,
                    engine, choice.float_ms, choice.integer_ms);
    for (const std::string& node : choice.nodes) {
      if (!latency.pays) {
        layers.push_back({node, choice.kind, false, whole});
        continue;
      }
      for (LayerQuantization& layer : layers) {
        if (choice.kept_float && layer.node == node) layer.reason = reason;
      }
    }
  }
}

LatencyResult latency_of_file(const fs::path& model, const fs::path& output,
                              const std::shared_ptr<const Dataset>& calibration,
                              const Normalization& normalization, const QuantizeOptions& options,
                              const std::string& engine) {
  const Model network = read_onnx(model);
  const auto quantize = [&](QuantizeOptions timed) {
    timed.samples = kTimingSamples;
    return quantize_ptq(network, calibration, normalization, timed).model;
  };
  LatencyOptions latency;
  latency.engine = engine;
  const TimingFolder folder(output);
  return choose_by_latency(model, options, quantize, folder.path(), latency);
}

ClimbFileReport climb_file(const ClimbFileOptions& options) {
  ClimbFileReport report;
  report.options = options;
  std::error_code error;
  MC_CHECK(!fs::equivalent(options.model, options.output, error),
           "{}: the output would overwrite the model; give another file", options.output.string());
  const Model model = read_onnx(options.model);
  return with_context(
      [&] { return options.model.string(); },
      [&] {
        const ModelData test = open_model_data(model, options.data, options.limit);
        const auto training = open_training_data(model, options.data, test);
        const std::string& metric = options.goal.metric;
        if (!is_command_metric(metric) && (!metric.empty() || test.dataset->labelled())) {
          checked_metric(model, *test.dataset, metric);
        }
        report.data = test.dataset->description();
        report.random_data = test.dataset->random();
        report.engine = judging_engine(options.quantize.target, report.engine_note);

        LadderOptions ladder;
        ladder.model = options.model;
        ladder.output = options.output;
        ladder.quantize = options.quantize;
        ladder.goal = options.goal;
        ladder.engine = report.engine;
        ladder.time_budget_seconds = options.time_budget_seconds;
        ladder.resume = options.resume;
        if (options.latency && report.engine_note.empty()) {
          report.latency = latency_of_file(options.model, options.output, training, test.normalization,
                                           options.quantize, report.engine);
          if (!report.latency->pays) {
            write_onnx(model, options.output);
            explain_float(*report.latency, report.engine, report.layers);
            write_file_atomic(page_of(options.output), quantize_page(to_json(report)));
            return std::move(report);
          }
          ladder.quantize = report.latency->options;
        }
        const LadderData data{
            training, options.train ? training : nullptr, {test.dataset, test.normalization, options.batch}};
        report.ladder = climb_ladder(ladder, data);
        report.layers = layers_of_best(model, report);
        write_file_atomic(page_of(options.output), quantize_page(to_json(report)));
        return std::move(report);
      });
}

Json to_json(const ClimbFileReport& report) {
  const LadderResult& ladder = report.ladder;
  return {{"schema", "model-compression/quantize-ladder/1"},
          {"model", report.options.model.string()},
          {"output", report.options.output.string()},
          {"target", report.options.quantize.target},
          {"engine", report.engine},
          {"engine_note", report.engine_note},
          {"metric", ladder.metric},
          {"reference", to_json(ladder.reference)},
          {"holds", ladder.holds},
          {"out_of_time", ladder.out_of_time},
          {"best", ladder.best ? Json(*ladder.best) : Json()},
          {"options", ladder.best ? options_json(ladder.steps[*ladder.best].options) : Json()},
          {"steps", ladder_json(ladder)},
          {"layers", layers_json(report.layers)},
          {"sensitivity", to_json(ladder.sensitivity)},
          {"latency", report.latency ? to_json(*report.latency) : Json()},
          {"data", report.data},
          {"random_data", report.random_data}};
}

}  // namespace mc
