#include "mc/train/stage_check.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"
#include "mc/train/loss.h"

namespace mc {
namespace {

void check_choice(const char* what, const std::string& value, const std::vector<std::string>& choices) {
  bool known = std::find(choices.begin(), choices.end(), value) != choices.end();
  MC_CHECK(known, "unknown {} '{}'{}; there are {}", what, value, did_you_mean(value, choices),
           join(choices, ", "));
}

}  // namespace

void check_stage(const Loader& loader, const Loader* evaluation, const TrainOptions& options,
                 const StageFiles& files) {
  check_choice("loss", options.loss, loss_names());
  check_choice("precision", options.precision, {"f32", "bf16"});
  check_choice("select", options.select, {"last", "best"});
  check_choice("metric", options.metric, metric_names());
  MC_CHECK(options.epochs >= 0, "epochs must be at least 0, got {}", options.epochs);
  MC_CHECK(options.gradient_clip >= 0, "gradient_clip must be at least 0, got {}", options.gradient_clip);
  MC_CHECK(options.label_smoothing >= 0 && options.label_smoothing < 1,
           "label_smoothing must be in [0, 1), got {}", options.label_smoothing);
  MC_CHECK(options.label_smoothing == 0 || options.loss == "cross_entropy",
           "label_smoothing goes with loss: cross_entropy, not {}", options.loss);
  MC_CHECK(!find_loss(options.loss).needs_labels || loader.dataset().labelled(),
           "loss {} needs labels, and the training data ({}) has none", options.loss,
           loader.dataset().description());
  MC_CHECK(options.epochs == 0 || loader.batches() > 0,
           "the training data ({}) gives no batch: use a smaller batch size, or keep the last one",
           loader.dataset().description());
  MC_CHECK(options.select == "last" || evaluation, "select: best needs evaluation data");
  MC_CHECK(!evaluation || evaluation->dataset().labelled(), "the evaluation data ({}) has no labels",
           evaluation->dataset().description());
  for (const auto& file : {files.checkpoint, files.best}) {
    if (file.has_parent_path()) make_output_folder(file.parent_path());
  }
}

}  // namespace mc
