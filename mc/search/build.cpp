#include "mc/search/build.h"

#include "mc/base/error.h"
#include "mc/distill/distill.h"
#include "mc/quantize/calibrate.h"
#include "mc/rewrite/pass.h"
#include "mc/train/trainer.h"

namespace mc {
namespace {

constexpr int64_t kTrainingBatch = 32;

}  // namespace

Model quantize_by_training(const Model& model, const TrainingPlan& plan, const Normalization& normalization,
                           const QuantizeOptions& options) {
  MC_CHECK(plan.data, "quantize: training needs data");
  const bool classes = plan.data->labelled() && plan.data->classes() > 0;
  TrainOptions train;
  train.epochs = plan.epochs;
  AdamWOptions adam;
  adam.lr = plan.learning_rate;
  train.optimizer = adam;
  train.schedule = CosineOptions{};
  train.loss = classes ? "cross_entropy" : "none";
  train.seed = plan.seed;
  DistillOptions distill;
  distill.ce_alpha = 1;
  distill.alpha_student = classes ? 0.5 : 0;

  GraphModule module(model);
  LoaderOptions loading;
  loading.batch_size = std::min(kTrainingBatch, plan.data->size());
  loading.shuffle = true;
  loading.drop_last = true;
  loading.normalization = normalization;
  loading.seed = plan.seed;
  Loader loader(plan.data, loading);
  const std::vector<std::shared_ptr<Method>> methods = {
      make_quantize_method(options), make_distill_method(std::make_shared<GraphModule>(model), distill)};
  train_stage("qat", module, loader, nullptr, methods, train, {.checkpoint = plan.checkpoint, .best = {}}, {},
              /*resume=*/!plan.checkpoint.empty());
  module.eval();
  return convert(module, options);
}

std::shared_ptr<GraphModule> calibrated_module(const Model& model, std::shared_ptr<const Dataset> calibration,
                                               const Normalization& normalization,
                                               const QuantizeOptions& options) {
  Model inference = model;
  apply_passes(inference, inference_passes());
  return quantize_module(std::move(inference), std::move(calibration), normalization, options).module;
}

}  // namespace mc
