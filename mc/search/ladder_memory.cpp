#include "mc/search/ladder_memory.h"

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/log.h"
#include "mc/base/options_json.h"

namespace mc {
namespace {

constexpr const char* kSchema = "model-compression/ladder/1";

std::string key_of(const QuantizeOptions& options) {
  return options_json(options).dump();
}

}  // namespace

LadderMemory::LadderMemory(std::filesystem::path file, Json subject, bool resume)
    : file_(std::move(file)), subject_(std::move(subject)) {
  if (!resume || !std::filesystem::exists(file_)) return;
  try {
    read();
  } catch (const std::exception& error) {
    tried_.clear();
    on_disk_.clear();
    warn("{}: {}; the ladder starts anew", file_.string(), error.what());
  }
}

void LadderMemory::read() {
  const Json json = Json::parse(read_file(file_));
  MC_CHECK(json.value("schema", "") == kSchema, "not what a ladder of this version remembers");
  MC_CHECK(json.at("subject") == subject_, "it is about another model, other data or another target");
  for (const Json& entry : json.at("tried")) {
    tried_[entry.at("options").dump()] = {judgement_from_json(entry.at("judgement")),
                                          entry.at("seconds").get<double>()};
  }
  on_disk_ = json.at("on_disk").is_null() ? "" : json.at("on_disk").dump();
}

void LadderMemory::write() const {
  Json tried = Json::array();
  for (const auto& [key, remembered] : tried_) {
    tried.push_back({{"options", Json::parse(key)},
                     {"judgement", to_json(remembered.judgement)},
                     {"seconds", remembered.seconds}});
  }
  const Json json = {{"schema", kSchema},
                     {"subject", subject_},
                     {"tried", tried},
                     {"on_disk", on_disk_.empty() ? Json() : Json::parse(on_disk_)}};
  write_file_atomic(file_, json.dump(1) + "\n");
}

std::optional<Remembered> LadderMemory::find(const QuantizeOptions& options) const {
  const auto found = tried_.find(key_of(options));
  return found == tried_.end() ? std::nullopt : std::optional(found->second);
}

bool LadderMemory::is_on_disk(const QuantizeOptions& options) const {
  return on_disk_ == key_of(options);
}

void LadderMemory::add(const QuantizeOptions& options, const Remembered& remembered) {
  tried_[key_of(options)] = remembered;
  write();
}

void LadderMemory::set_on_disk(const QuantizeOptions& options) {
  on_disk_ = key_of(options);
  write();
}

}  // namespace mc
