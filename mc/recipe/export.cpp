#include "mc/recipe/export.h"

#include <string>

#include "mc/onnx/onnx.h"
#include "mc/recipe/weight_masks.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/pass.h"

namespace mc {
Model inference_model(const Model& trained, const std::optional<QuantizeOptions>& quantize) {
  Model model = quantize ? convert(trained, *quantize) : trained;
  drop_weight_masks(model.graph);
  if (!quantize) apply_passes(model, inference_passes());
  return model;
}

void export_model(const Model& trained, const std::optional<QuantizeOptions>& quantize,
                  const std::filesystem::path& file, const std::string& opset) {
  write_exported(inference_model(trained, quantize), file, opset);
}

void write_exported(Model model, const std::filesystem::path& file, const std::string& opset) {
  if (opset != "keep") convert_opset(model, std::stoll(opset));
  model.producer_name = "model-compression";
  write_onnx(model, file);
}

}  // namespace mc
