#include "mc/search/command_metric.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <ATen/ATen.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/data/write_npz.h"

namespace mc {
namespace {

constexpr std::string_view kPrefix = "command:";

// A file that is gone again when the metric is known.
class OutputsFile {
 public:
  OutputsFile() {
    std::string name = (std::filesystem::temp_directory_path() / "mc_outputs_XXXXXX.npz").string();
    const int file = mkstemps(name.data(), 4);
    MC_CHECK(file >= 0, "cannot make a file in {}", std::filesystem::temp_directory_path().string());
    close(file);
    path_ = name;
  }
  ~OutputsFile() { unlink(path_.c_str()); }
  OutputsFile(const OutputsFile&) = delete;
  OutputsFile& operator=(const OutputsFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_outputs(const std::filesystem::path& path, const InferFunction& infer, Loader& loader,
                   const std::vector<PortInfo>& outputs) {
  std::vector<std::vector<at::Tensor>> parts(outputs.size());
  std::vector<at::Tensor> labels;
  while (const auto batch = loader.next()) {
    const std::vector<at::Tensor> values = infer(batch->inputs);
    for (size_t i = 0; i < parts.size(); ++i) parts[i].push_back(values.at(i));
    if (batch->labels.defined()) labels.push_back(batch->labels);
  }
  std::vector<std::pair<std::string, at::Tensor>> arrays;
  for (size_t i = 0; i < parts.size(); ++i) arrays.emplace_back(outputs[i].name, at::cat(parts[i]));
  if (!labels.empty()) arrays.emplace_back("labels", at::cat(labels));
  write_npz(path, arrays);
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t begin = text.find_last_of('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace

bool is_command_metric(const std::string& metric) {
  return metric.starts_with(kPrefix);
}

double command_metric(const std::string& metric, const InferFunction& infer, Loader& loader,
                      const std::vector<PortInfo>& outputs) {
  const std::string command = metric.substr(kPrefix.size());
  MC_CHECK(command.find_first_not_of(' ') != std::string::npos, "the metric '{}' names no command", metric);
  const OutputsFile file;
  write_outputs(file.path(), infer, loader, outputs);
  FILE* pipe = popen(fmt::format("{} '{}'", command, file.path().string()).c_str(), "r");
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

}  // namespace mc
