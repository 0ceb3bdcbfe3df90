#include "mc/recipe/prune_file.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/data/metric.h"
#include "mc/deploy/engine.h"
#include "mc/deploy/model_files.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/prune/batch_loss.h"
#include "mc/prune/calibrated.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/score.h"
#include "mc/recipe/climb_file.h"
#include "mc/recipe/imported.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/prune_view.h"
#include "mc/recipe/weight_masks.h"
#include "mc/report/prune_page.h"
#include "mc/report/zstd_size.h"
#include "mc/search/channel_speed.h"
#include "mc/search/sensitivity.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

// Of the largest output: float32 sums in another order.
constexpr double kLargestCutError = 1e-4;
constexpr const char* kRandomSamples = "random:4";

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
                   cuts_channels() ? prune_channels() : prune_weights();
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
  bool cuts_channels() const { return is_channel_method(options().method); }

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
    MC_CHECK(options().metric.empty() || test_.dataset->labelled(),
             "{} has no labels, so {} cannot be measured; leave --metric out", test_.dataset->description(),
             options().metric);
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
    write(result_, options().output);
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

  void prune_channels() {
    const std::vector<ChannelGroup> groups = channel_groups(model_);
    ChoiceOptions how = options().channels;
    how.global = options().global.value_or(true);
    how.ignore = options().ignore;
    ChannelChoice choice{model_, groups, channel_bounds(model_, groups, how), {}, how.global};
    MC_CHECK(!groups.empty(), "there are no channels that could be cut");
    for (size_t i = 0; i < groups.size(); ++i) {
      if (!choice.bounds[i].reason.empty()) report_.left.push_back({groups[i].name, choice.bounds[i].reason});
    }
    MC_CHECK(removable_channels(choice.bounds) > 0, "no channel may go; '{}': {}", report_.left.front().name,
             report_.left.front().reason);
    const Importance& importance = find_importance(options().method);
    choice.scores = score_channels(model_, importance, groups,
                                   importance.needs_gradients ? batches() : std::vector<Batch>());
    const ChannelPlan plan = plan_for_target(choice);
    MC_CHECK(!plan.cuts.empty(),
             "nothing is to be cut: the model reaches the target as it is, or widths rounded to "
             "multiples of {} leave no smaller ones",
             how.round_to);
    result_ = cut_channels(model_, plan.cuts);
    check_cut(groups, plan.cuts);
    write(result_, options().output);
  }

  ChannelPlan plan_for_target(const ChannelChoice& choice) {
    const PruneFileTarget& target = options().target;
    switch (target.kind) {
      case PruneFileTarget::Kind::kSparsity:
        return plan_ratio(choice, target.value);
      case PruneFileTarget::Kind::kMacs:
        return plan_channels(choice, model_macs, target.value * model_macs(model_), "MACs");
      case PruneFileTarget::Kind::kParameters:
        return plan_channels(choice, model_parameters, target.value * model_parameters(model_), "parameters");
      case PruneFileTarget::Kind::kSize: {
        const double whole = target.relative ? model_bytes(model_) : 1;
        return plan_channels(choice, model_bytes, target.value * whole, "bytes");
      }
      case PruneFileTarget::Kind::kSpeedup:
        break;
    }
    LatencyOptions latency;
    latency.engine = options().engine;
    latency.batch = options().latency_batch;
    latency.seconds = std::max(0.1, options().seconds / 2);
    const fs::path folder = options().output.string() + ".timing";
    make_output_folder(folder);
    const SpeedPlan plan = plan_for_speed(choice, options().model, target.value, folder, latency);
    std::error_code error;
    fs::remove(folder, error);
    return plan.plan;
  }

  // The cut model against zeros in the same places, both by our own kernels.
  void check_cut(const std::vector<ChannelGroup>& groups, const std::vector<ChannelCut>& cuts) {
    const Model masked = mask_channels(model_, cuts);
    const fs::path file = options().output.string() + ".masked.onnx";
    write(masked, file);
    report_.sizes.push_back(size_of("sparse", masked, file));
    std::error_code error;
    fs::remove(file, error);
    for (const ChannelGroup& group : groups) {
      const bool cut = std::ranges::count(cuts, group.name, &ChannelCut::group) > 0;
      if (cut && !group.exact) report_.cut_note = fmt::format("{}: {}", group.name, group.inexact);
    }
    try {
      report_.cut_error = largest_difference(masked, result_, open_model_data(model_, kRandomSamples, 0));
    } catch (const Error& problem) {
      if (problem.kind() == ErrorKind::kInterrupted) throw;
      report_.cut_note = fmt::format("not compared: {}", problem.what());
      return;
    }
    MC_CHECK(!report_.cut_note.empty() || *report_.cut_error <= kLargestCutError,
             "the cut model departs from the masked one by {:.3g} of its largest output; nothing was written",
             *report_.cut_error);
  }

  static void write(const Model& model, const fs::path& file) {
    Model written = model;
    written.producer_name = "model-compression";
    write_onnx(written, file);
  }

  void describe() {
    PrunedSize dense = size_of("dense", model_, options().model);
    report_.sizes.insert(report_.sizes.begin(), dense);
    report_.sizes.push_back(size_of(cuts_channels() ? "cut" : "sparse", result_, options().output));
    report_.weights = weight_changes(model_, result_);
    SparsityPattern pattern = common_pattern(result_, report_.weights);
    if (cuts_channels()) pattern.kind = SparsityPattern::Kind::kChannels;
    report_.pattern = pattern_name(pattern);
    report_.gains = engine_gains(pattern);
  }

  // Where the engine cannot run it, that is no reason to have no model.
  void time_models() {
    if (!report_.engine_note.empty()) return;
    LatencyOptions latency;
    latency.engine = options().engine;
    latency.batch = options().latency_batch;
    latency.seconds = options().seconds;
    try {
      const auto [before, after] = median_ms(options().model, options().output, latency);
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
    report_.metric = options().metric;
    if (report_.metric.empty() && test_.dataset->labelled())
      report_.metric = test_.dataset->classes() > 0 ? "top1" : "mse";
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
