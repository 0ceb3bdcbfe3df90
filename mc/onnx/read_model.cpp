#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/onnx/onnx.h"
#include "mc/onnx/read_graph.h"
#include "mc/onnx/schema.h"

namespace mc {
namespace {

Model read_model(std::string_view message, TensorSource& source) {
  Model model;
  model.ir_version = 0;
  bool has_graph = false;
  Fields fields(message, "ModelProto");
  while (fields.next()) {
    switch (fields.number()) {
      case field::model::kIrVersion:
        model.ir_version = fields.integer();
        break;
      case field::model::kProducerName:
        model.producer_name = fields.text();
        break;
      case field::model::kProducerVersion:
        model.producer_version = fields.text();
        break;
      case field::model::kDomain:
        model.domain = fields.text();
        break;
      case field::model::kModelVersion:
        model.model_version = fields.integer();
        break;
      case field::model::kDoc:
        model.doc = fields.text();
        break;
      case field::model::kGraph:
        read_graph(fields.bytes(), source, model.graph);
        has_graph = true;
        break;
      case field::model::kOpsetImport:
        read_opset(fields.bytes(), model.opset_imports);
        break;
      case field::model::kMetadata:
        read_entry(fields, model.metadata, model.unknown_fields);
        break;
      case field::model::kFunctions:
        model.functions.push_back(read_function(fields.bytes(), source));
        break;
      default:
        fields.keep(model.unknown_fields);
        break;
    }
  }
  MC_CHECK(model.ir_version >= 1 && has_graph, "is no ONNX model: it has no {}",
           has_graph ? "IR version" : "graph (empty or truncated file?)");
  MC_CHECK(model.ir_version <= kNewestIrVersion, "has IR version {}, newer than the {} known here",
           model.ir_version, kNewestIrVersion);
  return model;
}

}  // namespace

Model parse_onnx(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                 const std::filesystem::path& folder) {
  TensorSource source{std::move(owner), ExternalFiles(folder)};
  Model model = read_model({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, source);
  verify(model);
  return model;
}

Model read_onnx(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  return with_context([&] { return path.string(); }, [&] { return parse_onnx(file->bytes(), file, folder); });
}

std::vector<std::filesystem::path> external_files(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  return with_context(
      [&] { return path.string(); },
      [&] {
        TensorSource source{file, ExternalFiles(folder)};
        read_model({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, source);
        return source.external.paths();
      });
}

}  // namespace mc
