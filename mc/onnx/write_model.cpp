#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/onnx/onnx.h"
#include "mc/onnx/schema.h"
#include "mc/onnx/write_fields.h"
#include "mc/onnx/write_graph.h"

namespace mc {
namespace {

constexpr uint64_t kProtobufLimit = (uint64_t{1} << 31) - 1;
constexpr uint64_t kStructureReserve = uint64_t{1} << 26;  // room for all that is no weight

uint64_t initializer_bytes(const Graph& graph) {
  uint64_t total = 0;
  for_each_graph(graph, [&](const Graph& each) {
    for (const Initializer& initializer : each.initializers()) total += initializer.tensor.data.size();
  });
  return total;
}

std::string write_model(const Model& model, ExternalWriter* external) {
  std::string out;
  put_integer(out, field::model::kIrVersion, model.ir_version);
  put_text_unless_empty(out, field::model::kProducerName, model.producer_name);
  put_text_unless_empty(out, field::model::kProducerVersion, model.producer_version);
  put_text_unless_empty(out, field::model::kDomain, model.domain);
  if (model.model_version != 0) put_integer(out, field::model::kModelVersion, model.model_version);
  put_text_unless_empty(out, field::model::kDoc, model.doc);
  if (external == nullptr) out.reserve(initializer_bytes(model.graph) + (size_t{1} << 16));
  put_message(out, field::model::kGraph, [&] { write_graph(out, model.graph, external); });
  write_opsets(out, field::model::kOpsetImport, model.opset_imports);
  put_metadata(out, field::model::kMetadata, model.metadata);
  for (const Function& function : model.functions) {
    put_message(out, field::model::kFunctions, [&] { write_function(out, function); });
  }
  out += model.unknown_fields;
  MC_CHECK(out.size() <= kProtobufLimit,
           "the model takes {} bytes, more than the 2 GB that an ONNX file may have", out.size());
  return out;
}

}  // namespace

std::string to_bytes(const Model& model) {
  MC_CHECK(
      initializer_bytes(model.graph) <= kProtobufLimit,
      "the model's weights take more than the 2 GB that an ONNX file may have; write them as external data");
  return write_model(model, /*external=*/nullptr);
}

void write_onnx(const Model& model, const std::filesystem::path& path, const WriteOptions& options) {
  with_context([&] { return path.string(); }, [&] { verify(model); });
  const bool outside =
      options.external_data || initializer_bytes(model.graph) > kProtobufLimit - kStructureReserve;
  if (!outside) {
    const std::string bytes = with_context([&] { return path.string(); }, [&] { return to_bytes(model); });
    write_file_atomic(path, bytes);
    return;
  }
  ExternalWriter external(path.string() + ".data", options.external_threshold);
  const std::string bytes =
      with_context([&] { return path.string(); }, [&] { return write_model(model, &external); });
  AtomicFile file(path);
  file.write(bytes);
  external.commit();
  file.commit();
}

}  // namespace mc
