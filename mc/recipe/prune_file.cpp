#include "mc/recipe/prune_file.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/data/metric.h"
#include "mc/deploy/engine.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/batch_loss.h"
#include "mc/prune/block_order.h"
#include "mc/prune/calibrated.h"
#include "mc/prune/importance.h"
#include "mc/prune/score.h"
#include "mc/recipe/climb_file.h"
#include "mc/recipe/imported.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/prune_smaller.h"
#include "mc/recipe/prune_view.h"
#include "mc/recipe/weight_masks.h"
#include "mc/report/prune_page.h"
#include "mc/search/sensitivity.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

class FilePruner {
 public:
  explicit FilePruner(const PruneFileOptions& options) { report_.options = options; }

  PruneFileReport run() {
    check();
    const auto start = std::chrono::steady_clock::now();
    with_context([&] { return options().model.string(); },
                 [&] {
                   model_ = read_onnx(options().model);
                   tidy_import(model_);
                   drop_weight_masks(model_.graph);
                   open_data();
                   is_smaller() ? make_smaller() : prune_weights();
                 });
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    describe();
    if (options().seconds > 0) time_models();
    if (test_.dataset) compare_files();
    write_file_atomic(page_of(options().output), prune_page(to_json(report_)));
    return std::move(report_);
  }

 private:
  const PruneFileOptions& options() const { return report_.options; }
  bool is_smaller() const { return is_channel_method(options().method) || is_block_method(options().method); }

  void check() {
    std::error_code error;
    MC_CHECK(!fs::equivalent(options().model, options().output, error),
             "{}: the output would overwrite the model; give another file", options().output.string());
    check_prune_options(options());
    if (!options().metric.empty()) make_metric(options().metric);
    MC_CHECK(!options().data.empty() || options().metric.empty(),
             "{} cannot be measured without --data; leave --metric out", options().metric);
    engine_ = judging_engine(find_engine(options().engine).name(), report_.engine_note);
    MC_CHECK(options().target.kind != PruneFileTarget::Kind::kSpeedup || report_.engine_note.empty(),
             "--speedup is measured on {}: {}", options().engine, report_.engine_note);
  }

  void open_data() {
    if (options().data.empty()) return;
    test_ = open_model_data(model_, options().data, options().limit);
    report_.metric = checked_metric(model_, *test_.dataset, options().metric);
    report_.data = test_.dataset->description();
    report_.random_data = test_.dataset->random();
  }

  std::vector<Batch> batches() const {
    if (options().data.empty()) return {};
    return some_batches(open_training_data(model_, options().data), test_.normalization, options().samples,
                        model_.graph);
  }

  // Samples are only opened where they are looked at.
  std::shared_ptr<const Dataset> training_data() const {
    return options().data.empty() ? nullptr : open_training_data(model_, options().data);
  }

  void prune_weights() {
    looks_at_inputs(options().method) ? prune_by_inputs() : prune_by_score();
    write_pruned(result_, options().output);
  }

  // Layer after layer, on what the pruned layers before give.
  void prune_by_inputs() {
    CalibratedOptions how;
    how.method = options().method;
    how.structure = parse_structure(options().structure);
    how.sparsity = options().target.value;
    how.keep_dense = options().ignore;
    how.samples = options().samples;
    const std::shared_ptr<const Dataset> data = training_data();
    MC_CHECK(data, "{} looks at samples; give --data", how.method);
    CalibratedModel pruned = prune_with_data(model_, data, test_.normalization, how);
    for (const LeftDense& layer : pruned.report.left) report_.left.push_back({layer.name, layer.reason});
    GraphModule module(std::move(pruned.model));
    for (const std::string& weight : module.masked()) module.set_mask(weight, {});
    result_ = module.graph();
  }

  void prune_by_score() {
    OneShotOptions how;
    how.score = options().method;
    how.structure = parse_structure(options().structure);
    how.global = options().global.value_or(false) && global_structure(how.structure);
    how.sparsity = options().target.value;
    how.ignore = options().ignore;
    const ScoreKind& kind = find_score(how.score);
    const bool looks = kind.needs_data || kind.needs_gradients;
    MaskedWeights masked = prune_one_shot(model_, how, looks ? batches() : std::vector<Batch>());
    result_ = std::move(masked.model);
    report_.left = std::move(masked.left);
  }

  void make_smaller() {
    result_ = prune_smaller(model_,
                            {[&] { return batches(); },
                             [&] {
                               const std::shared_ptr<const Dataset> data = training_data();
                               MC_CHECK(data, "residual blocks are judged by samples; give --data");
                               return calibration_samples(data, test_.normalization, options().samples,
                                                          model_.graph);
                             }},
                            report_);
    write_pruned(result_, options().output);
  }

  void describe() {
    PrunedSize dense = size_of("dense", model_, options().model);
    report_.sizes.insert(report_.sizes.begin(), dense);
    report_.sizes.push_back(size_of(is_smaller() ? "cut" : "sparse", result_, options().output));
    report_.weights = weight_changes(model_, result_);
    SparsityPattern pattern = common_pattern(result_, report_.weights);
    if (is_smaller()) pattern.kind = SparsityPattern::Kind::kChannels;
    report_.pattern = pattern_name(pattern);
    report_.gains = engine_gains(pattern);
    if (report_.blocks.empty() || report_.round_to > 0) return;  // not by blocks alone
    report_.pattern = "blocks";
    for (EngineGain& gain : report_.gains) gain.why = "the model has fewer layers";
  }

  // Where the engine cannot run it, that is no reason to have no model.
  void time_models() {
    if (!report_.engine_note.empty()) return;
    try {
      const auto [before, after] = median_ms(options().model, options().output, prune_latency(options()));
      report_.latency = {options().engine, options().latency_batch, before, after};
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kInterrupted) throw;
      report_.engine_note = error.what();
    }
  }

  void compare_files() {
    CompareOptions compare_options;
    compare_options.engine = engine_;
    compare_options.batch_size = options().batch;
    const auto before = report_.metric.empty() ? nullptr : make_metric(report_.metric);
    const auto after = report_.metric.empty() ? nullptr : make_metric(report_.metric);
    if (before) {
      compare_options.observe = [&](const Batch& batch, const auto& reference, const auto& other) {
        before->add(reference, batch.labels);
        after->add(other, batch.labels);
      };
    }
    const auto loader = make_loader(test_, options().batch);
    report_.comparison = compare(options().model, options().output, *loader, compare_options);
    if (!before) return;
    report_.metric_before = before->value();
    report_.metric_after = after->value();
  }

  PruneFileReport report_;
  Model model_, result_;
  ModelData test_;
  std::string engine_;
};

}  // namespace

PruneFileReport prune_file(const PruneFileOptions& options) {
  return FilePruner(options).run();
}

}  // namespace mc
