#include "mc/recipe/inputs.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "mc/base/error.h"
#include "mc/deploy/engine.h"
#include "mc/recipe/check_recipe.h"
#include "mc/recipe/conversion.h"
#include "mc/recipe/data_formats.h"
#include "mc/recipe/fields.h"
#include "mc/recipe/network.h"
#include "mc/recipe/places.h"
#include "mc/recipe/preprocess.h"
#include "mc/recipe/process.h"
#include "mc/train/loss.h"

namespace mc {
namespace {

// Images are what is held as bytes, three axes a sample.
bool holds_images(const Dataset& data) {
  if (data.raw_images()) return true;
  const std::vector<FieldInfo> fields = data.fields();
  return !fields.empty() && fields[0].dtype == at::kByte && fields[0].shape.size() == 3;
}

Normalization choose_normalization(const NormalizeOptions& options, const Dataset& train) {
  constexpr int64_t kSamples = 10'000;
  return std::visit(
      [&](const auto& choice) -> Normalization {
        using Choice = std::decay_t<decltype(choice)>;
        if constexpr (std::is_same_v<Choice, MeasuredNormalize>) {
          return measure_normalization(train, choice.samples);
        } else if constexpr (std::is_same_v<Choice, GivenNormalize>) {
          return {choice.mean, choice.std};
        } else if constexpr (std::is_same_v<Choice, AutoNormalize>) {
          return holds_images(train) ? measure_normalization(train, kSamples) : Normalization{};
        } else {
          return {};
        }
      },
      options);
}

class Opener {
 public:
  explicit Opener(const LoadedRecipe& loaded) : recipe_(loaded.recipe), complaints_(loaded.config) {}

  RunInputs open() {
    complaints_.check("device", [&] { inputs_.device = open_device(recipe_.device); });
    check_engines();
    if (complaints_.check("data", [&] { open_data(); })) {
      complaints_.check("model", [&] { inputs_.student = open_network_input(recipe_.model); });
      if (recipe_.teacher) {
        complaints_.check("teacher", [&] { inputs_.teacher = open_network_input(*recipe_.teacher); });
      }
      check_stages();
      check_conversions();
    }
    complaints_.throw_if_any();
    return std::move(inputs_);
  }

 private:
  void check_engines() {
    for (size_t i = 0; i < recipe_.deploy.engines.size(); ++i) {
      Engine& engine = find_engine(recipe_.deploy.engines[i]);
      if (engine.available()) continue;
      complaints_.add(
          fmt::format("deploy.engines.{}", i),
          fmt::format("the engine '{}' is not available: {}", engine.name(), engine.unavailable_reason()));
    }
  }

  void open_data() {
    const DataFormat& format = find_data_format(recipe_.data.format);
    train_ = format.open(recipe_.data, "train");
    test_ = format.open(recipe_.data, "test");
    if (recipe_.data.limit > 0) train_ = take(train_, recipe_.data.limit);
    MC_CHECK(train_->size() > 0 && test_->size() > 0, "there are {} training and {} test samples",
             train_->size(), test_->size());
    MC_CHECK(test_->labelled(), "the test data has no labels to measure {} by", recipe_.metric);
    MC_CHECK(train_->labelled() || !find_loss(recipe_.loss).needs_labels,
             "the training data has no labels, which the loss {} needs", recipe_.loss);
    MC_CHECK(test_->classes() <= train_->classes(), "the test data has {} classes, the training data {}",
             test_->classes(), train_->classes());
    const std::vector<FieldInfo> fields = train_->fields();
    MC_CHECK(recipe_.data.augment.empty() || fields[0].shape.size() == 3,
             "`augment` is for images [channels, height, width], but '{}' has {} axes", fields[0].name,
             fields[0].shape.size());
    inputs_.normalization = choose_normalization(recipe_.data.normalize, *train_);
    inputs_.data = fmt::format("{}; test: {}", train_->description(), test_->description());
  }

  NetworkInput open_network_input(const ModelSource& source) {
    NetworkInput input;
    input.model = open_network(source, *train_, recipe_.seed);
    const std::vector<std::string> names = input_names(input.model);
    const std::vector<size_t> order = match_fields(train_->fields(), names, source.inputs);
    MC_CHECK(!order.empty(), "the model has no inputs");
    input.train = select_fields(train_, input.model, source.inputs);
    input.test = select_fields(test_, input.model, source.inputs);
    set_preprocess(input.model, train_->fields()[order[0]].name, inputs_.normalization);
    try_network(input.model, *input.test, inputs_.normalization);
    return input;
  }

  // A batch goes to both networks as it is, so they must take the same fields in the same order.
  bool teacher_fits(const NetworkInput& teacher) const {
    auto order = [&](const NetworkInput& network, const ModelSource& source) {
      return match_fields(train_->fields(), input_names(network.model), source.inputs);
    };
    return order(inputs_.student, recipe_.model) == order(teacher, *recipe_.teacher);
  }

  void check_stages() {
    const bool have_student = inputs_.student.train != nullptr;
    for (size_t i = 0; i < recipe_.stages.size(); ++i) {
      const StageOptions& stage = recipe_.stages[i];
      const std::string path = fmt::format("stages.{}", i);
      if (stage.trains()) check_batch(stage, path);
      if (!have_student) continue;
      if (stage.quantize) {
        complaints_.check(path + ".quantize", [&] {
          Model copy = inputs_.student.model;
          prepare_qat(copy, *stage.quantize);
        });
      }
      if (stage.distill && inputs_.teacher && !teacher_fits(*inputs_.teacher)) {
        complaints_.add(
            path + ".distill",
            "teacher and student take different fields of the data, or the same in another order");
      }
    }
    if (recipe_.teacher && recipe_.teacher->train) check_batch(*recipe_.teacher->train, "teacher.train");
  }

  void check_conversions() {
    for (size_t i = 0; i < recipe_.exports.conversions.size(); ++i) {
      const ConversionOptions& conversion = recipe_.exports.conversions[i];
      const std::optional<NetworkInput>& teacher = inputs_.teacher;
      const NetworkInput* network = conversion.stage != kTeacher ? &inputs_.student
                                    : teacher                    ? &*teacher
                                                                 : nullptr;
      if (!network || !network->train) continue;
      complaints_.check(fmt::format("export.convert.{}", i),
                        [&] { check_conversion(network->model, conversion); });
    }
  }

  void check_batch(const TrainingOptions& training, const std::string& path) {
    if (training.batch_size <= train_->size()) return;
    complaints_.add(path + ".batch_size", fmt::format("is {}, but there are only {} training samples",
                                                      training.batch_size, train_->size()));
  }

  const Recipe& recipe_;
  Complaints complaints_;
  RunInputs inputs_;
  std::shared_ptr<const Dataset> train_;
  std::shared_ptr<const Dataset> test_;
};

}  // namespace

RunInputs open_inputs(const LoadedRecipe& loaded) {
  return with_context([&] { return loaded.file.string(); }, [&] { return Opener(loaded).open(); });
}

}  // namespace mc
