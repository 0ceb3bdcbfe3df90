#include <memory>
#include <string>

#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/init.h"
#include "mc/recipe/recipe.h"

namespace mc {
namespace {

struct InitArguments {
  std::string name = "vision";
  bool schema = false;
};

int execute(const InitArguments& arguments) {
  if (arguments.schema) {
    print_json(recipe_schema());
  } else {
    print(recipe_template(arguments.name));
  }
  return kDone;
}

}  // namespace

void add_init(CLI::App& program, Action& action) {
  auto options = std::make_shared<InitArguments>();
  CLI::App* command =
      add_command(program, action, "init", "Print a commented recipe to start from", options, execute);
  command->add_option("template", options->name, "What it is for: vision");
  command->add_flag("--schema", options->schema, "Print the JSON Schema of recipes, for editors");
  command->footer(
      "Examples:\n"
      "  model-compression init vision > recipe.yaml\n"
      "  model-compression init --schema > recipe.schema.json");
}

}  // namespace mc
