#include "mc/recipe/model_data.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/data/labels.h"
#include "mc/recipe/fields.h"
#include "mc/recipe/preprocess.h"

namespace mc {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> dims;
  dims.reserve(shape.size());
  for (const int64_t dim : shape) dims.push_back(dim < 0 ? "?" : std::to_string(dim));
  return "[" + join(dims, ", ") + "]";
}

// Dims that either side leaves open fit anything.
bool fits(const std::vector<int64_t>& wanted, const std::vector<int64_t>& given) {
  return std::ranges::equal(wanted, given, [](int64_t a, int64_t b) { return a < 0 || b < 0 || a == b; });
}

std::shared_ptr<const Dataset> open_for(const Model& model, const std::string& source, const char* split) {
  const std::vector<FieldInfo> wanted = fields_of(model);
  auto data = select_fields(open_dataset(source, split, wanted), model);
  const std::vector<FieldInfo> given = data->fields();
  for (size_t i = 0; i < wanted.size(); ++i) {
    MC_CHECK(fits(wanted[i].shape, given[i].shape),
             "the input '{}' takes samples of shape {}, those of {} have {}", wanted[i].name,
             shape_text(wanted[i].shape), data->description(), shape_text(given[i].shape));
  }
  return data;
}

}  // namespace

ModelData open_model_data(const Model& model, const std::string& source, int64_t limit) {
  ModelData data;
  data.whole = open_for(model, source, "test");
  data.dataset = take(data.whole, limit > 0 ? limit : -1);
  data.normalization = normalization_of(model, *data.dataset);
  return data;
}

std::shared_ptr<const Dataset> open_training_data(const Model& model, const std::string& source) {
  return open_for(model, source, "train");
}

std::shared_ptr<const Dataset> open_training_data(const Model& model, const std::string& source,
                                                  const ModelData& test) {
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(source, error);
  return is_file && test.whole ? test.whole : open_training_data(model, source);
}

Normalization normalization_of(const Model& model, const Dataset& data) {
  return data.random() ? Normalization() : preprocess_of(model);
}

std::string checked_metric(const Model& model, const Dataset& data, const std::string& asked) {
  MC_CHECK(asked.empty() || data.labelled(), "{} has no labels, so {} cannot be measured; leave --metric out",
           data.description(), asked);
  const std::string metric = asked.empty() ? default_metric(data) : asked;
  if (metric.empty()) return metric;
  std::optional<std::vector<int64_t>> dims;
  if (const std::optional<Shape>& shape = model.graph.outputs.at(0).type.shape) {
    dims.emplace();
    for (const Dim& dim : *shape) dims->push_back(dim.known() ? dim.value : -1);
  }
  check_metric(data, metric, dims);
  return metric;
}

std::unique_ptr<Loader> make_loader(const ModelData& data, int64_t batch_size) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.normalization = data.normalization;
  return std::make_unique<Loader>(data.dataset, options);
}

}  // namespace mc
