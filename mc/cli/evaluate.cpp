#include <memory>
#include <string>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/data/metric.h"
#include "mc/deploy/engine.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/model_data.h"
#include "mc/recipe/process.h"

namespace mc {
namespace {

struct EvaluateArguments {
  std::string model;
  std::string data;
  std::string engine = "onnxruntime";
  std::string metric = "top1";
  int64_t batch = 100;
  int64_t limit = 0;
  int threads = 0;
  bool json = false;
};

int execute(const EvaluateArguments& arguments) {
  use_threads(arguments.threads);
  make_metric(arguments.metric);  // a wrong name is said before the data is read
  Engine& engine = find_engine(arguments.engine);
  const ModelData data = with_context(
      [&] { return arguments.model; },
      [&] { return open_model_data(read_onnx(arguments.model), arguments.data, arguments.limit); });
  std::unique_ptr<Session> session = engine.load(arguments.model, EngineOptions{});
  std::unique_ptr<Loader> loader = make_loader(data, arguments.batch);
  auto infer = [&](const std::vector<at::Tensor>& inputs) {
    if (interrupted()) throw Error("interrupted while evaluating", ErrorKind::kInterrupted);
    return infer_in_pieces(*session, inputs);
  };
  const Evaluation evaluation = evaluate(infer, *loader, arguments.metric);
  const auto document = [&] {
    return Json{{"schema", "model-compression/evaluate/1"},
                {"model", arguments.model},
                {"engine", arguments.engine},
                {"metric", evaluation.metric},
                {"value", evaluation.value},
                {"samples", evaluation.samples},
                {"data", data.dataset->description()},
                {"random_data", data.dataset->random()}};
  };
  present(arguments.json, document, [&] {
    print(fmt::format("{} {:.4f} on {}, {} samples: {}\n", evaluation.metric, evaluation.value,
                      arguments.engine, evaluation.samples, data.dataset->description()));
  });
  return kDone;
}

}  // namespace

void add_evaluate(CLI::App& program, Action& action) {
  auto options = std::make_shared<EvaluateArguments>();
  CLI::App* command =
      add_command(program, action, "evaluate", "Measure a model's accuracy on an engine", options, execute);
  command->add_option("model", options->model, "ONNX file")->required();
  command->add_option("--data", options->data, "An .npz, a folder of them, or a folder of IDX files")
      ->required()
      ->type_name("DATA");
  command->add_option("--engine", options->engine, "torch, onnxruntime or openvino");
  command->add_option("--metric", options->metric, "top1, top5, f1 or mse");
  command->add_option("--batch", options->batch, "Samples at once")->check(CLI::PositiveNumber);
  command->add_option("--limit", options->limit, "Use only the first samples; 0: all")
      ->check(CLI::NonNegativeNumber);
  add_threads_and_json(*command, options->threads, options->json);
  command->footer(
      "Example:\n"
      "  model-compression evaluate int8.onnx --data /usr/share/datasets/fashion-mnist --engine openvino");
}

}  // namespace mc
