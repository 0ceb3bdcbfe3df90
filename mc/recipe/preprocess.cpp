#include "mc/recipe/preprocess.h"

#include "mc/base/error.h"
#include "mc/base/json.h"
#include "mc/recipe/fields.h"

namespace mc {

void set_preprocess(Model& model, const std::string& field, const Normalization& normalization) {
  std::vector<std::string> inputs = input_names(model);
  Json json = {{"input", inputs.empty() ? "" : inputs.front()},
               {"field", field},
               {"layout", "NCHW"},
               {"mean", normalization.mean},
               {"std", normalization.std}};
  set_metadata(model.metadata, kPreprocess, json.dump());
}

Normalization preprocess_of(const Model& model) {
  const std::string* text = find_metadata(model.metadata, kPreprocess);
  if (!text) return {};
  try {
    Json json = Json::parse(*text);
    Normalization normalization{json.at("mean").get<std::vector<double>>(),
                                json.at("std").get<std::vector<double>>()};
    MC_CHECK(normalization.mean.size() == normalization.std.size(),
             "the model's metadata '{}' has {} means and {} deviations", kPreprocess,
             normalization.mean.size(), normalization.std.size());
    for (double deviation : normalization.std) {
      MC_CHECK(deviation > 0, "the model's metadata '{}' has a deviation of {}", kPreprocess, deviation);
    }
    return normalization;
  } catch (const Json::exception& error) {
    fail("the model's metadata '{}' cannot be read: {}", kPreprocess, error.what());
  }
}

}  // namespace mc
