#include "mc/search/command_metric.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <ATen/ATen.h>
#include <sys/wait.h>

#include "mc/base/error.h"
#include "mc/base/scratch_folder.h"
#include "mc/base/text.h"
#include "mc/data/write_npz.h"

namespace mc {
namespace {

constexpr std::string_view kPrefix = "command:";

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t begin = text.find_last_of('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

double number_printed_by(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  MC_CHECK(pipe, "cannot start '{}'", command);
  std::string printed;
  std::array<char, 4096> part;
  while (const size_t count = fread(part.data(), 1, part.size(), pipe)) printed.append(part.data(), count);
  const int status = pclose(pipe);
  MC_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "'{}' failed with status {}; it printed: {}",
           command, WIFEXITED(status) ? WEXITSTATUS(status) : -1, printed);
  const std::string line = last_line(printed);
  char* end = nullptr;
  const double value = std::strtod(line.c_str(), &end);
  MC_CHECK(!line.empty() && *end == '\0' && value == value, "'{}' printed no number in its last line: '{}'",
           command, line);
  return value;
}

class CommandMetric : public Metric {
 public:
  CommandMetric(const std::string& metric, std::vector<std::string> output_names)
      : command_(metric.substr(kPrefix.size())),
        output_names_(std::move(output_names)),
        parts_(output_names_.size()) {
    MC_CHECK(command_.find_first_not_of(' ') != std::string::npos, "the metric '{}' names no command",
             metric);
  }
  std::string name() const override { return std::string(kPrefix) + command_; }
  bool larger_is_better() const override { return true; }

  void add(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) override {
    for (size_t i = 0; i < parts_.size(); ++i) parts_[i].push_back(outputs.at(i));
    if (labels.defined()) labels_.push_back(labels);
  }

  double value() const override {
    std::vector<std::pair<std::string, at::Tensor>> arrays;
    arrays.reserve(parts_.size() + 1);
    for (size_t i = 0; i < parts_.size(); ++i) arrays.emplace_back(output_names_[i], at::cat(parts_[i]));
    if (!labels_.empty()) arrays.emplace_back("labels", at::cat(labels_));
    ScratchFolder folder;
    const std::filesystem::path file = folder.file("outputs.npz");
    write_npz(file, arrays);
    return number_printed_by(fmt::format("{} '{}'", command_, file.string()));
  }

 private:
  std::string command_;
  std::vector<std::string> output_names_;
  std::vector<std::vector<at::Tensor>> parts_;  // by output
  std::vector<at::Tensor> labels_;
};

}  // namespace

bool is_command_metric(const std::string& metric) {
  return metric.starts_with(kPrefix);
}

std::unique_ptr<Metric> make_command_metric(const std::string& metric,
                                            std::vector<std::string> output_names) {
  return std::make_unique<CommandMetric>(metric, std::move(output_names));
}

}  // namespace mc
