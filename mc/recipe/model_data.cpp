#include "mc/recipe/model_data.h"

#include "mc/recipe/fields.h"
#include "mc/recipe/preprocess.h"

namespace mc {

ModelData open_model_data(const Model& model, const std::string& source, int64_t limit) {
  ModelData data;
  data.dataset = open_dataset(source, "test", fields_of(model));
  data.dataset = select_fields(take(data.dataset, limit > 0 ? limit : -1), input_names(model));
  if (!data.dataset->random()) data.normalization = preprocess_of(model);
  return data;
}

std::unique_ptr<Loader> make_loader(const ModelData& data, int64_t batch_size) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.normalization = data.normalization;
  return std::make_unique<Loader>(data.dataset, options);
}

}  // namespace mc
