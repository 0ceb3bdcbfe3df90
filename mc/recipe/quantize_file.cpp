#include "mc/recipe/quantize_file.h"

#include <chrono>
#include <system_error>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/log.h"
#include "mc/data/labels.h"
#include "mc/data/metric.h"
#include "mc/deploy/engine.h"
#include "mc/deploy/model_files.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/climb_file.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/timing_folder.h"
#include "mc/report/quantize_page.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

class FileQuantizer {
 public:
  explicit FileQuantizer(const QuantizeFileOptions& options) { report_.options = options; }

  QuantizeFileReport run() {
    check();
    quantize();
    read_kernels_back();
    if (test_.dataset) compare_files();
    write_file_atomic(page_of(options().output), quantize_page(to_json(report_)));
    return std::move(report_);
  }

 private:
  const QuantizeFileOptions& options() const { return report_.options; }

  // What can be said before the work begins.
  void check() {
    std::error_code error;
    MC_CHECK(!fs::equivalent(options().model, options().output, error),
             "{}: the output would overwrite the model; give another file", options().output.string());
    if (!options().metric.empty()) make_metric(options().metric);
    check_quantize_mode(options().how, !options().data.empty());
    MC_CHECK(!options().budget || options().how.mode == "ptq", "budgets are of mode ptq, not of {}",
             options().how.mode);
    MC_CHECK(!options().data.empty() || options().metric.empty(),
             "{} cannot be measured without --data; leave --metric out", options().metric);
    if (options().data.empty()) return;
    const Model model = read_onnx(options().model);
    with_context([&] { return options().model.string(); },
                 [&] { test_ = open_model_data(model, options().data, options().limit); });
    metric_ = checked_metric(model, *test_.dataset, options().metric);
    report_.data = test_.dataset->description();
    report_.random_data = test_.dataset->random();
    choose_engine();
  }

  void choose_engine() {
    engine_ = options().how.quantize.target;
    report_.engine_note = mode_engine_note(options().how.mode);
    if (!report_.engine_note.empty()) {
      engine_ = "torch";
      return;
    }
    engine_ = judging_engine(engine_, report_.engine_note);
  }

  // Opened where it is first needed.
  const std::shared_ptr<const Dataset>& training_data(const Model& model) {
    if (!training_) training_ = open_training_data(model, options().data, test_);
    return training_;
  }

  // Only where the engine that the result is for can be timed.
  void choose_float_parts(const Model& model) {
    if (!options().latency || options().budget || options().how.mode != "ptq" || !report_.engine_note.empty())
      return;
    QuantizeModeOptions& how = report_.options.how;
    how.quantize.mode = "ptq";
    report_.latency = latency_of_file(options().model, options().output, training_data(model),
                                      test_.normalization, how.quantize, engine_);
    how.quantize.keep_float = report_.latency->options.keep_float;
  }

  void choose_bits(const Model& model) {
    if (!options().budget) return;
    QuantizeModeOptions& how = report_.options.how;
    BudgetJob job;
    job.model = options().model;
    const TimingFolder folder(options().output);
    job.folder = folder.path();
    job.calibration = training_data(model);
    job.normalization = test_.normalization;
    job.options = calibration_of(how);
    job.budget = *options().budget;
    job.engine = engine_;
    MC_CHECK(job.budget.kind != Budget::Kind::kLatency || report_.engine_note.empty(),
             "a latency budget needs the target's engine: {}", report_.engine_note);
    report_.budget = choose_by_budget(job);
    how.quantize = report_.budget->options;
  }

  void quantize() {
    const auto start = std::chrono::steady_clock::now();
    with_context([&] { return options().model.string(); },
                 [&] {
                   const Model model = read_onnx(options().model);
                   choose_float_parts(model);
                   choose_bits(model);
                   ModeResult result =
                       pays() ? run_quantize_mode(model, test_.dataset ? training_data(model) : nullptr,
                                                  test_.normalization, options().how)
                              : ModeResult{model, {}, {}, {}, 0};
                   result.model.producer_name = "model-compression";
                   write_onnx(result.model, options().output);
                   report_.layers = std::move(result.layers);
                   if (report_.latency) explain_float(*report_.latency, engine_, report_.layers);
                   if (report_.budget) explain_budget();
                   report_.steps = std::move(result.steps);
                   report_.clamped = std::move(result.clamped);
                   report_.calibration_samples = result.samples;
                 });
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report_.bytes_before = model_file_bytes(options().model);
    report_.bytes_after = model_file_bytes(options().output);
  }

  void explain_budget() {
    for (const BitChoice& choice : report_.budget->layers) {
      for (LayerQuantization& layer : report_.layers) {
        if (choice.bits != kFloatBits || layer.node != choice.node) continue;
        layer.reason = fmt::format("the {} budget has room for it", name_of(report_.budget->budget.kind));
      }
    }
  }

  bool pays() const { return !report_.latency || report_.latency->pays; }

  // Needs no data on engines that write down their graph.
  void read_kernels_back() {
    const std::string& mode = options().how.mode;
    if ((mode != "ptq" && mode != "dynamic") || !pays()) return;
    for (Engine* engine : all_engines()) {
      if (engine->name() != options().how.quantize.target || !engine->available()) continue;
      try {
        report_.kernels = read_kernels(*engine, options().output, test_.dataset.get());
      } catch (const Error& error) {
        warn("the kernels of {} could not be read back: {}", engine->name(), error.what());
      }
    }
  }

  // Both models are run once, for the comparison and for the metric.
  void compare_files() {
    CompareOptions compare_options;
    compare_options.engine = engine_;
    compare_options.batch_size = options().batch;
    const auto before = metric_.empty() ? nullptr : make_metric(metric_);
    const auto after = metric_.empty() ? nullptr : make_metric(metric_);
    if (before) {
      compare_options.observe = [&](const Batch& batch, const auto& reference, const auto& other) {
        if (batch.indices.at(0) == 0 && counts_classes(metric_) && reference.at(0).dim() == 2) {
          check_labels(*test_.dataset, reference[0].size(1));
        }
        before->add(reference, batch.labels);
        after->add(other, batch.labels);
      };
    }
    const auto loader = make_loader(test_, options().batch);
    report_.comparison = compare(options().model, options().output, *loader, compare_options);
    if (before) report_.metric = {metric_, before->value(), after->value()};
  }

  QuantizeFileReport report_;
  ModelData test_;
  std::shared_ptr<const Dataset> training_;
  std::string engine_;
  std::string metric_;  // empty where there are no labels
};

}  // namespace

QuantizeFileReport quantize_file(const QuantizeFileOptions& options) {
  return FileQuantizer(options).run();
}

Json to_json(const QuantizeFileReport& report) {
  Json steps = Json::array();
  for (const QuantizeStep& step : report.steps)
    steps.push_back({{"name", step.name}, {"places", step.places}});
  Json clamped = Json::array();
  for (const ClampedConstant& constant : report.clamped) {
    clamped.push_back({{"name", constant.name}, {"elements", constant.elements}});
  }
  Json metric, comparison;
  if (report.comparison) comparison = to_json(*report.comparison);
  if (report.metric) {
    metric = {
        {"name", report.metric->metric}, {"before", report.metric->before}, {"after", report.metric->after}};
  }
  return {{"schema", "model-compression/quantize/1"},
          {"model", report.options.model.string()},
          {"output", report.options.output.string()},
          {"mode", report.options.how.mode},
          {"target", report.options.how.quantize.target},
          {"method", mode_method(report.options.how)},
          {"steps", steps},
          {"latency", report.latency ? to_json(*report.latency) : Json()},
          {"budget", report.budget ? to_json(*report.budget) : Json()},
          {"sensitivity", report.budget ? to_json(report.budget->sensitivity) : Json::array()},
          {"calibration_samples", report.calibration_samples},
          {"seconds", report.seconds},
          {"bytes_before", report.bytes_before},
          {"bytes_after", report.bytes_after},
          {"layers", layers_json(report.layers)},
          {"clamped", clamped},
          {"comparison", comparison},
          {"kernels", report.kernels ? to_json(*report.kernels) : Json()},
          {"engine_note", report.engine_note},
          {"metric", metric},
          {"data", report.data},
          {"random_data", report.random_data}};
}

}  // namespace mc
