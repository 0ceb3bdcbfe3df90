#include "mc/train/autocast.h"

#include <ATen/autocast_mode.h>

namespace mc {

AutocastGuard::AutocastGuard(at::Device device, bool enabled) : type_(device.type()), active_(enabled) {
  if (!active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(type_);
  had_dtype_ = at::autocast::get_autocast_dtype(type_);
  at::autocast::set_autocast_enabled(type_, true);
  at::autocast::set_autocast_dtype(type_, at::kBFloat16);
  at::autocast::increment_nesting();
}

AutocastGuard::~AutocastGuard() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_dtype(type_, had_dtype_);
  at::autocast::set_autocast_enabled(type_, was_enabled_);
}

}  // namespace mc
