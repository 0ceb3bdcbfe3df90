#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/recipe.h"
#include "mc/recipe/run.h"
#include "mc/report/report.h"

namespace mc {
namespace {

struct RunArguments {
  std::string recipe;
  std::vector<std::string> set;
  std::string output;
  int threads = -1;
  bool resume = false;
  bool check = false;
  bool json = false;
};

Overrides overrides(const RunArguments& arguments) {
  Overrides result;
  for (const std::string& text : arguments.set) {
    const size_t equal = text.find('=');
    MC_CHECK(equal != std::string::npos && equal > 0,
             "--set {}: write KEY=VALUE, as in --set stages.0.epochs=2", text);
    result.emplace_back(text.substr(0, equal), text.substr(equal + 1));
  }
  if (!arguments.output.empty()) result.emplace_back("output", Json(arguments.output).dump());
  if (arguments.threads >= 0) result.emplace_back("threads", std::to_string(arguments.threads));
  return result;
}

// As a shell reads it back.
std::string shell_word(const std::string& text) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string resume_line(const RunArguments& arguments, const std::filesystem::path& output) {
  std::string line = "resume with: model-compression run " + shell_word(arguments.recipe);
  for (const std::string& set : arguments.set) line += " --set " + shell_word(set);
  if (arguments.threads >= 0) line += fmt::format(" --threads {}", arguments.threads);
  return line + " --output " + shell_word(output.string()) + " --resume";
}

int execute(const RunArguments& arguments) {
  const LoadedRecipe loaded = load_recipe(arguments.recipe, overrides(arguments));
  const std::filesystem::path output = output_folder(loaded.recipe);
  if (arguments.check) {
    check_run(loaded, output);
    const auto document = [&] {
      return Json{{"schema", "model-compression/check/1"}, {"recipe", arguments.recipe}, {"passed", true}};
    };
    present(arguments.json, document, [&] { print(fmt::format("{}: fine\n", arguments.recipe)); });
    return kDone;
  }
  Json results;
  bool began = false;
  try {
    results = run_recipe(loaded, output, arguments.resume, [&] { began = true; });
  } catch (const Error& error) {
    if (!began) throw;
    throw Error(fmt::format("{}\n{}", error.what(), resume_line(arguments, output)), error.kind());
  }
  present(
      arguments.json, [&] { return results; },
      [&] {
        print(summary_table(results));
        print(fmt::format("\nreport: {}\n", (output / "report.html").string()));
      });
  return results.value("passed", false) ? kDone : kCheckFailed;
}

}  // namespace

void add_run(CLI::App& program, Action& action) {
  auto options = std::make_shared<RunArguments>();
  CLI::App* command =
      add_command(program, action, "run", "Run a recipe: train, compress, export, measure", options, execute);
  command->add_option("recipe", options->recipe, "YAML file (`init` writes one)")->required();
  command->add_option("--set", options->set, "Change a value: stages.prune.epochs=3; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--output", options->output, "Folder of the run; by default runs/NAME")
      ->type_name("DIR");
  command->add_option("--threads", options->threads, "CPU threads; 0: all cores")
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
  command->add_flag("--resume", options->resume, "Go on with what is in the folder");
  command->add_flag("--check", options->check, "Only check the recipe, its data and its models");
  command->add_flag("--json", options->json, "Print results.json instead of tables");
  command->footer(
      "Examples:\n"
      "  model-compression run recipes/fashion_mnist.yaml\n"
      "  model-compression run recipe.yaml --set device=cuda --set teacher.train.epochs=10 --output "
      "runs/big\n"
      "  model-compression run recipe.yaml --resume");
}

}  // namespace mc
